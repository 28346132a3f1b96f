"""Everything a run needs to go on as if it had never stopped, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from autoseg.core.atomic import write_bytes
from autoseg.core.errors import CheckpointError
from autoseg.training.optim import WeightAverage, unique_state

METADATA_KEY = "autoseg"
"""The one metadata entry: several would be stored in an order that changes from process to process."""


@dataclass
class TrainingState:
    """The live objects that a checkpoint captures."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    scaler: torch.amp.GradScaler | None


def save_checkpoint(path: Path, state: TrainingState, *, progress: dict[str, Any], run_digest: str) -> None:
    """Write weights, average, optimiser and position atomically.

    Raises:
        StorageError: The disk is full, or the folder cannot be written; the old checkpoint stays.
    """
    tensors = {f"weights/{name}": tensor.detach() for name, tensor in unique_state(state.network)}
    if state.average is not None:
        tensors |= {f"average/{name}": tensor for name, tensor in state.average.tensors.items()}
    for index, slots in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{slot}": value for slot, value in slots.items() if torch.is_tensor(value)}
    scaler = state.scaler.state_dict() if state.scaler is not None else None
    metadata = {"progress": progress, "run": run_digest, "scaler": scaler}
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    # Packed in memory first, because the format's own file writer does not tell a full disk from other trouble.
    write_bytes(path, save(contiguous, {METADATA_KEY: json.dumps(metadata, sort_keys=True)}))


def load_checkpoint(path: Path, state: TrainingState, *, run_digest: str) -> dict[str, Any]:
    """Restore `state` in place and return the progress values.

    Raises:
        CheckpointError: The file is damaged, or was written by a run with other settings.
    """
    tensors, metadata = _read(path)
    if metadata.get("run") != run_digest:
        raise CheckpointError(f"{path} belongs to a run with other settings", "delete it to start this run anew")
    with torch.no_grad():
        for name, tensor in unique_state(state.network):
            tensor.copy_(tensors[f"weights/{name}"])
        if state.average is not None:
            for name, tensor in state.average.tensors.items():
                tensor.copy_(tensors[f"average/{name}"])
    _restore_optimizer(state.optimizer, tensors)
    if state.scaler is not None and metadata["scaler"]:
        state.scaler.load_state_dict(metadata["scaler"])
    progress: dict[str, Any] = metadata["progress"]
    return progress


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads(file.metadata()[METADATA_KEY])
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is damaged ({error})", "delete it to start this run anew") from error


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    values = optimizer.state_dict()
    restored: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "optimizer":
            index, _, slot = rest.partition("/")
            restored.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({**values, "state": restored})
