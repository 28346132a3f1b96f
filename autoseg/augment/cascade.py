"""Spoil the previous stage's labels in a cascade: it has never seen the next stage's cases fail as new ones will."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import cc3d
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._morphology import LARGEST_DIAMETER, OPERATORS, Operator, morph
from autoseg.augment._transform import chance, uniform

Radius = Annotated[float, Field(ge=1, le=LARGEST_DIAMETER // 2)]


class Options(BaseModel):
    """Defaults are nnU-Net v2's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p_operator: float = Field(default=0.4, ge=0, le=1)
    """Probability per sample of dilating, eroding, opening or closing labels."""
    p_component: float = Field(default=0.2, ge=0, le=1)
    """Probability per sample of removing a connected component of labels."""
    p_label: float = Field(default=0.5, ge=0, le=1)
    """Probability per label of such a sample, for each of the two."""
    radius: tuple[Radius, Radius] = (1.0, 8.0)
    """Range of the ball's radius in voxels."""
    largest_share: float = Field(default=0.15, ge=0, le=1)
    """Components that fill this share of the patch or more are not removed."""


@dataclass(frozen=True)
class Spoiling:
    """What is done to one sample, in order.

    Attributes:
        operations: Label value, operator and diameter of the ball in voxels.
        removals: Label value, and place of the component among the removable ones as a number in [0, 1).
    """

    operations: tuple[tuple[int, Operator, int], ...]
    removals: tuple[tuple[int, float], ...]


class Cascade:
    """Changes the second label map, the previous labels; the identity where there is none.

    nnU-Net v2 works on one-hot channels, in which a label that grows takes the voxels from the others: every voxel
    keeps at most one label, so that the label map itself says the same.
    """

    def __init__(self, options: Options, geometry: PatchGeometry) -> None:
        self.options = options
        self.values = geometry.previous_values
        self.source_size_voxels = geometry.patch_size_voxels
        self.largest_voxels = options.largest_share * math.prod(geometry.patch_size_voxels)

    def draw(self, generator: torch.Generator) -> Spoiling | None:
        """Operations and removals of one sample."""
        if not self.values:
            return None
        operate, remove = (chance(generator, p) for p in (self.options.p_operator, self.options.p_component))
        operations = tuple(
            (value, OPERATORS[int(torch.randint(len(OPERATORS), (), generator=generator))], self._diameter(generator))
            for value in (self._some_values(generator) if operate else ())
        )
        removals = tuple(
            (value, uniform(generator, 0.0, 1.0)) for value in (self._some_values(generator) if remove else ())
        )
        return Spoiling(operations, removals) if operations or removals else None

    def apply_image(self, image: Tensor, params: Sequence[Spoiling | None]) -> Tensor:  # noqa: ARG002
        """The image stays."""
        return image

    def apply_labels(self, labels: Tensor, params: Sequence[Spoiling | None]) -> Tensor:
        """Change map 1 of (B, 2, *S) in place."""
        for sample, spoiling in zip(labels, params, strict=True):
            if spoiling is None:
                continue
            for value, operator, diameter in spoiling.operations:
                mask = sample[1] == value
                result = morph(mask, operator, diameter)
                sample[1].masked_fill_(mask & ~result, 0).masked_fill_(result, value)
            for value, place in spoiling.removals:
                self._remove(sample[1], value, place)
        return labels

    def _some_values(self, generator: torch.Generator) -> list[int]:
        """Labels to work on, in random order: where two grow into each other, the later wins."""
        order = torch.randperm(len(self.values), generator=generator).tolist()
        return [self.values[index] for index in order if chance(generator, self.options.p_label)]

    def _diameter(self, generator: torch.Generator) -> int:
        """In voxels; nnU-Net v2's balls of any radius come out as those of half or whole voxels below it."""
        return int(2 * uniform(generator, *self.options.radius))

    def _remove(self, labels: Tensor, value: int, place: float) -> None:
        """Set one component (26 neighbours, 8 in 2D) of a label (*S) to background, in place."""
        mask = labels == value
        numbers = cc3d.connected_components(mask.cpu().numpy(), connectivity=26 if mask.ndim == 3 else 8)
        small = np.flatnonzero(np.bincount(numbers.ravel())[1:] < self.largest_voxels) + 1
        if len(small):
            chosen = torch.from_numpy(numbers == small[int(place * len(small))])
            labels.masked_fill_(chosen.to(labels.device), 0)


def build(options: Options, *, geometry: PatchGeometry) -> Cascade:
    """Spoiling for one patch geometry."""
    return Cascade(options, geometry)
