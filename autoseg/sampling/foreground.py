"""Random patches, a fixed share of each batch centred on foreground (nnU-Net v2's rule)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from autoseg.core.seeds import derive_seed
from autoseg.io.case_store import ANNOTATED
from autoseg.sampling._place import Corner, as_corner, corner_limits


class Options(BaseModel):
    """How cases and places are drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(default=1 / 3, ge=0, le=1)
    """Share of the batch that is centred on a foreground voxel, rounded as nnU-Net v2 rounds it."""
    replacement: bool = True
    """Draw cases with replacement; False visits every case once before any comes again."""


class ForegroundSampler:
    """Chooses a case and a place for each patch.

    Args:
        options: Shares and replacement.
        patch_size_voxels: (z, y, x) of the final patch; z is 1 in 2D.
        source_size_voxels: (z, y, x) of what is read, the patch plus the margin that rotation needs.
    """

    def __init__(
        self, options: Options, *, patch_size_voxels: Sequence[int], source_size_voxels: Sequence[int]
    ) -> None:
        self.options = options
        self.patch = np.asarray(patch_size_voxels)
        self.source = np.asarray(source_size_voxels)

    def case_index(self, number: int, *, cases: int, seed: int) -> int:
        """Case of the `number`-th patch of the run."""
        if self.options.replacement:
            return int(np.random.default_rng(derive_seed(seed, "case", number)).integers(cases))
        order = np.random.default_rng(derive_seed(seed, "order", number // cases)).permutation(cases)
        return int(order[number % cases])

    def is_foreground(self, position: int, *, batch_size: int) -> bool:
        """Whether the patch at this position of the batch is centred on foreground."""
        return position >= round(batch_size * (1 - self.options.share))

    def corner(
        self,
        rng: np.random.Generator,
        *,
        shape: Sequence[int],
        locations: Mapping[str, npt.NDArray[np.integer]],
        is_foreground: bool,
    ) -> Corner:
        """First voxel of the source patch; it may lie outside of the volume.

        The final patch stays inside wherever the volume is large enough, on both borders. (nnU-Net v2 clamps
        only the lower one, so that its patches near the far border are partly padding.)

        Args:
            rng: Generator of this patch.
            shape: (z, y, x) of the case.
            locations: Voxels per class to centre on, and any annotated voxels where some are not.
            is_foreground: Centre on a class; otherwise on an annotated voxel, or anywhere where all are.
        """
        lower, upper = corner_limits(np.asarray(shape), patch=self.patch, source=self.source)
        classes = [name for name in sorted(locations) if name != ANNOTATED and len(locations[name])]
        if is_foreground and classes:
            voxels = locations[classes[rng.integers(len(classes))]]
        elif len(locations.get(ANNOTATED, ())):
            voxels = locations[ANNOTATED]
        else:
            return as_corner(rng.integers(lower, upper + 1))
        centre = voxels[rng.integers(len(voxels))]
        return as_corner(np.clip(centre - self.source // 2, lower, upper))


def build(
    options: Options, *, patch_size_voxels: Sequence[int], source_size_voxels: Sequence[int]
) -> ForegroundSampler:
    """Build the sampler."""
    return ForegroundSampler(options, patch_size_voxels=patch_size_voxels, source_size_voxels=source_size_voxels)
