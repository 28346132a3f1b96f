"""Compact probabilities of a case on the plan's grid: one byte per voxel and head, compressed, with its record."""

from __future__ import annotations

from pathlib import Path

import blosc2
import numpy as np
import numpy.typing as npt
import torch

from autoseg.core.atomic import write_bytes
from autoseg.core.errors import DatasetError
from autoseg.inference.export import MemberLogits, release_all
from autoseg.specs.case import CaseRecord

STEPS = 255
"""Probability 1 is stored as this: rounding is at most 0.002."""


def probabilities_folder(masks: Path, case_id: str) -> Path:
    """Where the probabilities of a case lie beside its mask in the folder `masks`."""
    return masks / "probabilities" / case_id


def save_probabilities(folder: Path, name: str, member: MemberLogits, *, regions: bool) -> None:
    """Write `NAME.b2nd` (heads, Z, Y, X; uint8, 255 = 1) and `NAME.json`, the record that leads to the image's grid.

    Args:
        folder: Made where it does not exist.
        name: Of both files.
        member: Logits.
        regions: Sigmoid per head instead of softmax over heads.

    Raises:
        AutosegError: The disk is full, or the folder cannot be written.
    """
    packed = np.empty(member.logits.shape, np.uint8)
    for top in range(packed.shape[1]):  # by slices: no second volume of floats
        logits = member.logits[:, top].float()
        chances = logits.sigmoid() if regions else logits.softmax(0)
        packed[:, top] = chances.mul_(STEPS).round_().to(torch.uint8).numpy()
        release_all((member,))
    parameters = {"codec": blosc2.Codec.LZ4HC, "clevel": 5, "nthreads": 1}
    write_bytes(folder / f"{name}.b2nd", bytes(blosc2.asarray(packed, cparams=parameters).to_cframe()))
    member.record.save(folder / f"{name}.json")


def load_probabilities(folder: Path, name: str) -> tuple[npt.NDArray[np.float32], CaseRecord]:
    """Probabilities (heads, Z, Y, X) and their record.

    Raises:
        DatasetError: The file is missing or damaged.
        SpecError: The record is missing or damaged.
    """
    path = folder / f"{name}.b2nd"
    try:
        packed = blosc2.ndarray_from_cframe(path.read_bytes())[:]
    except (OSError, RuntimeError) as error:
        raise DatasetError(f"the probabilities {path} cannot be read ({error})", "predict the case again") from error
    return packed.astype(np.float32) / np.float32(STEPS), CaseRecord.load(folder / f"{name}.json")
