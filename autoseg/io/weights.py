"""Network weights as safetensors: no code in the file, equal weights give equal bytes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from autoseg.core.atomic import write_bytes
from autoseg.core.errors import CheckpointError

_METADATA = "autoseg"
"""The one metadata entry: several would be stored in an order that changes from process to process."""
_COUNTED_ALONG = ("running_mean", "running_var", "num_batches_tracked")
"""Buffers of torch's batch norm."""


def save_weights(path: Path, state_dict: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> str:
    """Write atomically.

    Args:
        path: Ends in `.safetensors`.
        state_dict: Of a module on any device.
        metadata: Short texts to keep with the weights.

    Returns:
        SHA-256 of the file.

    Raises:
        AutosegError: The disk is full, or the folder cannot be written.
    """
    # Clones, because names that share memory are refused by the format.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state_dict.items()}
    content = save(tensors, {_METADATA: json.dumps(dict(metadata or {}), sort_keys=True)})
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def load_weights(path: Path, *, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """Read onto the CPU.

    Args:
        path: Written by `save_weights`.
        sha256: Digest that the file must have.

    Raises:
        CheckpointError: The file is missing, damaged, or not the one that `sha256` names.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"the weights {path} cannot be read ({error.strerror})", "copy the whole model folder again"
        ) from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise CheckpointError(
            f"the weights {path} are damaged (their SHA-256 differs from the recorded one)",
            "copy the model folder again, or train the fold again",
        )
    try:
        tensors: dict[str, torch.Tensor] = load(content)
    except SafetensorError as error:
        raise CheckpointError(
            f"the weights {path} are damaged ({error})", "copy the model folder again, or train the fold again"
        ) from error
    return tensors


def weights_metadata(path: Path) -> dict[str, str]:
    """The texts stored with the weights; empty where others wrote the file.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"the weights {path} cannot be read ({error})", "copy the model folder again") from error
    values: dict[str, str] = json.loads(stored.get(_METADATA, "{}"))
    return values


def count_parameters(path: Path) -> int:
    """Learnable numbers of a network, from the shapes in its file; what batch norm counts along is left out.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            learned = [name for name in file.keys() if not name.endswith(_COUNTED_ALONG)]  # noqa: SIM118 - no mapping
            return sum(math.prod(file.get_slice(name).get_shape()) for name in learned)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"the weights {path} cannot be read ({error})", "train the fold again") from error
