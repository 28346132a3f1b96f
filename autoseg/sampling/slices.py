"""Slices of 2D training: each once per pass over the data, in a seeded order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import DatasetError, SpecError
from autoseg.core.seeds import derive_seed
from autoseg.io.case_store import ANNOTATED
from autoseg.sampling._place import Corner, as_corner, corner_limits

Table = npt.NDArray[np.int64]


class Case(Protocol):
    """What is looked at of a case (`autoseg.training.loader.CaseReader`)."""

    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def locations(self) -> Mapping[str, npt.NDArray[np.integer]]: ...


class Options(BaseModel):
    """Which slices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    foreground_only: bool = False
    """Leave out slices without a labelled voxel among those sampled when the case was stored: all voxels of a class
    where it has up to 10,000."""


class SliceSampler:
    """Walks through all slices of all cases; a new order in every pass.

    Args:
        options: Which slices.
        patch_size_voxels: (z, y, x) of the final patch; z is 1.
        source_size_voxels: (z, y, x) of what is read, the patch plus the margin that rotation needs.

    Raises:
        SpecError: The patches are no slices.
    """

    def __init__(
        self, options: Options, *, patch_size_voxels: Sequence[int], source_size_voxels: Sequence[int]
    ) -> None:
        if patch_size_voxels[0] != 1:
            raise SpecError("the sampler 'slices' is for 2D configurations", 'set train.sampler.name="foreground"')
        self.options = options
        self.patch = np.asarray(patch_size_voxels)
        self.source = np.asarray(source_size_voxels)
        self._cases: Sequence[Case] = ()
        self._slices: Table = np.zeros((0, 2), np.int64)
        self._order: tuple[tuple[int, int], Table] | None = None

    def per_pass(self, cases: Sequence[Case]) -> int:
        """Slices of all cases."""
        return len(self._table(cases))

    def place(self, number: int, *, cases: Sequence[Case], seed: int) -> tuple[int, Corner]:
        """Case and first voxel of the `number`-th slice of the run; a part of the slice where it is larger.

        Raises:
            DatasetError: No case has a slice to choose.
        """
        table = self._table(cases)
        if not len(table):
            raise DatasetError("no case has a slice with foreground", "set foreground_only = false")
        case, z = table[self._ordered(number // len(table), len(table), seed)[number % len(table)]]
        shape = np.asarray(cases[case].shape)
        lower, upper = corner_limits(shape, patch=self.patch, source=self.source)
        lower[0] = upper[0] = z
        rng = np.random.default_rng(derive_seed(seed, "place", number))
        return int(case), as_corner(rng.integers(lower, upper + 1))

    def _table(self, cases: Sequence[Case]) -> Table:
        """Case and slice, (n, 2); remembered for the cases seen last."""
        if self._cases is not cases:
            rows = [(index, z) for index, case in enumerate(cases) for z in self._chosen(case)]
            self._cases, self._slices = cases, np.array(rows, np.int64).reshape(-1, 2)
        return self._slices

    def _chosen(self, case: Case) -> Sequence[int]:
        if not self.options.foreground_only:
            return range(case.shape[0])
        named = [points for name, points in case.locations.items() if name != ANNOTATED and len(points)]
        return sorted({int(z) for points in named for z in np.unique(points[:, 0])})

    def _ordered(self, done: int, size: int, seed: int) -> Table:
        """Order of a pass; remembered for the last one."""
        key = (done, seed)
        if self._order is None or self._order[0] != key:
            self._order = key, np.random.default_rng(derive_seed(seed, "slices", done)).permutation(size)
        return self._order[1]


def build(options: Options, *, patch_size_voxels: Sequence[int], source_size_voxels: Sequence[int]) -> SliceSampler:
    """Build the sampler."""
    return SliceSampler(options, patch_size_voxels=patch_size_voxels, source_size_voxels=source_size_voxels)
