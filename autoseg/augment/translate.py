"""Shift by whole voxels; what comes in from outside is 0, and -1 in the labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._transform import chance, uniform
from autoseg.augment.spatial import OUTSIDE

Shift = tuple[int, ...]


class Options(BaseModel):
    """When, and how far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p: float = Field(default=0.5, ge=0, le=1)
    """Probability per sample."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Largest shift along each axis, both ways, as a share of the patch's edge."""


class Translate:
    """The drawn value is the shift in voxels per axis; slices that are deformed one by one stay where they are."""

    def __init__(self, options: Options, geometry: PatchGeometry) -> None:
        self.p = options.p
        self.source_size_voxels = geometry.patch_size_voxels
        self.reach = [options.share * edge for edge in geometry.patch_size_voxels]
        if geometry.dummy_2d:
            self.reach[0] = 0.0

    def draw(self, generator: torch.Generator) -> Shift | None:
        """Voxels per axis; positive moves the content to higher indices."""
        if not chance(generator, self.p):
            return None
        return tuple(round(uniform(generator, -reach, reach)) for reach in self.reach)

    def apply_image(self, image: Tensor, params: Sequence[Shift | None]) -> Tensor:
        """Shift the drawn samples of (B, C, *S) in place."""
        return _shift(image, params, fill=0)

    def apply_labels(self, labels: Tensor, params: Sequence[Shift | None]) -> Tensor:
        """Shift the drawn samples of (B, L, *S) in place."""
        return _shift(labels, params, fill=OUTSIDE)


def _shift(batch: Tensor, params: Sequence[Shift | None], *, fill: int) -> Tensor:
    for sample, drawn in zip(batch, params, strict=True):
        if drawn is not None and any(drawn):
            kept, place = sample, torch.full_like(sample, fill)
            target = place
            for axis, step in enumerate(drawn, start=1):
                left = sample.shape[axis] - abs(step)
                kept = kept.narrow(axis, max(0, -step), left)
                target = target.narrow(axis, max(0, step), left)
            target.copy_(kept)
            sample.copy_(place)
    return batch


def build(options: Options, *, geometry: PatchGeometry) -> Translate:
    """Shifts for one patch geometry."""
    return Translate(options, geometry)
