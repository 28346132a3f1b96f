"""Minicubes: every volume is cut in a fixed grid of patches, and one volume is kept for several steps.

Source: Buchwald et al., Brain Tumor Segmentation on the Basis of a U-Net Architecture: 8 minicubes of (80, 96, 96) per
volume, 2 in a step, so that one image serves 4 steps and is read once. The order is our decision: cases in turn, the
minicubes of a case in random order, none twice before all have come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from autoseg.core.seeds import derive_seed
from autoseg.imageops.grid import Corner, core_corners


class HasShape(Protocol):
    """A preprocessed case."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x)."""


class Options(BaseModel):
    """How long a case is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patches_per_case: int = Field(default=8, ge=1)
    """Consecutive patches from one case, which stays in memory meanwhile: 8 are 4 steps of 2."""


class MinicubeSampler:
    """Walks through the cases and, in each, through the cores of its grid.

    Args:
        options: Patches per visit of a case.
        patch_size_voxels: (z, y, x) of a core: what the network labels.
        source_size_voxels: (z, y, x) of what is read: the core with its context, and the margin that rotation needs.
    """

    def __init__(
        self, options: Options, *, patch_size_voxels: Sequence[int], source_size_voxels: Sequence[int]
    ) -> None:
        self.patches_per_case = options.patches_per_case
        self.core = tuple(patch_size_voxels)
        self.margin = tuple(
            (source - core) // 2 for source, core in zip(source_size_voxels, patch_size_voxels, strict=True)
        )

    def place(self, number: int, *, cases: Sequence[HasShape], seed: int) -> tuple[int, Corner]:
        """Case and first voxel of the `number`-th patch of the run; it may lie outside of the volume."""
        visit, turn = divmod(number, self.patches_per_case)
        tour, stop = divmod(visit, len(cases))
        chosen = _shuffled(len(cases), seed, "order", tour)[stop]
        corners = core_corners(cases[chosen].shape, self.core)
        cycle, position = divmod(tour * self.patches_per_case + turn, len(corners))
        corner = corners[_shuffled(len(corners), seed, "cores", chosen, cycle)[position]]
        z, y, x = (start - margin for start, margin in zip(corner, self.margin, strict=True))
        return chosen, (z, y, x)

    def per_pass(self, cases: Sequence[HasShape]) -> int:
        """Patches in which every core of every case has come once."""
        most = max(len(core_corners(case.shape, self.core)) for case in cases)
        return len(cases) * self.patches_per_case * -(-most // self.patches_per_case)


def build(options: Options, *, patch_size_voxels: Sequence[int], source_size_voxels: Sequence[int]) -> MinicubeSampler:
    """Build the sampler."""
    return MinicubeSampler(options, patch_size_voxels=patch_size_voxels, source_size_voxels=source_size_voxels)


def _shuffled(count: int, *parts: int | str) -> list[int]:
    order: list[int] = np.random.default_rng(derive_seed(*parts)).permutation(count).tolist()
    return order
