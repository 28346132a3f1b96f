"""Flip along each allowed axis; where that turns left into right, labels of one side become those of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._transform import chance


class Options(BaseModel):
    """Defaults are nnU-Net v2's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p: float = Field(default=0.5, ge=0, le=1)
    """Probability per axis."""
    axes: tuple[Literal["z", "y", "x"], ...] | None = None
    """Of those that the plan allows, only these; None is all of them."""


class Mirror:
    """The drawn values are the axes to flip, 0 being the first spatial axis."""

    def __init__(self, options: Options, geometry: PatchGeometry) -> None:
        self.p = options.p
        names = "zyx"[-geometry.dimensions :]
        allowed = geometry.mirror_axes or ()
        self.axes = tuple(axis for axis in allowed if options.axes is None or names[axis] in options.axes)
        self.swapped_axis, self.swapped_labels = geometry.swapped_axis, geometry.swapped_labels
        self.source_size_voxels = geometry.patch_size_voxels

    def draw(self, generator: torch.Generator) -> tuple[int, ...] | None:
        """Axes, or None when there are none."""
        return tuple(axis for axis in self.axes if chance(generator, self.p)) or None

    def apply_image(self, image: Tensor, params: Sequence[tuple[int, ...] | None]) -> Tensor:
        """Flip the drawn samples of (B, C, *S) in place."""
        return _flip(image, params)

    def apply_labels(self, labels: Tensor, params: Sequence[tuple[int, ...] | None]) -> Tensor:
        """Flip the drawn samples of (B, L, *S) in place, and exchange labels where the axis is left-right."""
        for sample, axes in zip(_flip(labels, params), params, strict=True):
            if axes is not None and self.swapped_axis in axes:
                for first, second in self.swapped_labels:
                    is_first, is_second = sample == first, sample == second
                    sample.masked_fill_(is_first, second).masked_fill_(is_second, first)
        return labels


def _flip(batch: Tensor, params: Sequence[tuple[int, ...] | None]) -> Tensor:
    for sample, axes in zip(batch, params, strict=True):
        if axes is not None:
            sample.copy_(sample.flip([axis + 1 for axis in axes]))
    return batch


def build(options: Options, *, geometry: PatchGeometry) -> Mirror:
    """Mirroring for one patch geometry."""
    return Mirror(options, geometry)
