"""No challenge's rules: one mask per case, named as the case, in the format of its image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from autoseg.datasets.formats._nifti import LabelRules, nifti_bytes
from autoseg.datasets.submission import Entry
from autoseg.datasets.submission_checks import mask_problems
from autoseg.io.images import image_ending


class Options(BaseModel):
    """There is nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Masks(LabelRules):
    """A flat zip; pictures stay pictures."""

    name: str = "masks"
    container: Literal["zip", "folder"] = "zip"
    allowed: tuple[int, ...] | None = None
    values: Mapping[int, int] = field(default_factory=dict)

    def entries(self, cases: Mapping[str, Path]) -> tuple[Entry, ...]:
        """`CASE.png` for `CASE_0000.png`, and so on."""
        return tuple(Entry(name, f"{name}{image_ending(image)}", image) for name, image in sorted(cases.items()))

    def encode(self, entry: Entry, labels: npt.NDArray[np.uint8]) -> bytes:
        """The mask on the grid of its image; the header is copied where both are NIfTI."""
        return nifti_bytes(entry, labels, like=entry.image)

    def problems(self, file: Path, entry: Entry, allowed: Collection[int]) -> tuple[str, ...]:
        """Shape, grid and values."""
        return mask_problems(file, entry.image, allowed, stored_as=None)


def build(options: Options) -> Masks:  # noqa: ARG001 - every format is built from options
    """The format."""
    return Masks()
