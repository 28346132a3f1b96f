"""What every augmentation is: draw for one sample, then apply to the samples it was drawn for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from autoseg.augment._geometry import PatchGeometry

Drawn = TypeVar("Drawn")


class Transform(Protocol):
    """One augmentation, built for one patch geometry.

    Attributes:
        source_size_voxels: Spatial size that the inputs must have; the output always has the patch's.
    """

    source_size_voxels: tuple[int, ...]

    def draw(self, generator: torch.Generator) -> Any:
        """Parameters of ONE sample from a CPU generator: plain values, cheap; None leaves the sample as it is."""

    def apply_image(self, image: Tensor, params: Sequence[Any]) -> Tensor:
        """Change the images (B, C, *S) of the samples whose parameters are not None.

        The input may be changed in place; use only what is returned.
        """

    def apply_labels(self, labels: Tensor, params: Sequence[Any]) -> Tensor:
        """Move the labels (B, L, *S), signed integers, -1 outside, together with the image; in place where possible."""


class ImageTransform(ABC, Generic[Drawn]):
    """Base of the augmentations that change intensities only.

    A subclass draws with `sample` and changes one sample in place with `change`.
    """

    def __init__(self, p: float, geometry: PatchGeometry) -> None:
        self.p = p
        self.geometry = geometry
        self.source_size_voxels = geometry.patch_size_voxels

    def draw(self, generator: torch.Generator) -> Drawn | None:
        """Parameters, with probability `p`."""
        return self.sample(generator) if chance(generator, self.p) else None

    @abstractmethod
    def sample(self, generator: torch.Generator) -> Drawn:
        """Parameters of a sample that is to be changed."""

    @abstractmethod
    def change(self, image: Tensor, drawn: Drawn) -> None:
        """Change one sample (C, *S) in place."""

    def apply_image(self, image: Tensor, params: Sequence[Drawn | None]) -> Tensor:
        """Change the drawn samples of (B, C, *S) in place."""
        for index, drawn in enumerate(params):
            if drawn is not None:
                self.change(image[index], drawn)
        return image

    def apply_labels(self, labels: Tensor, params: Sequence[Drawn | None]) -> Tensor:  # noqa: ARG002
        """Intensities only: labels stay."""
        return labels


class PerChannel(ImageTransform[tuple[float, ...]]):
    """Base of those that draw one number around 1 per channel.

    Args:
        p: Probability per sample.
        around: Range of the number; half of the draws fall below 1.
        geometry: Of the patch.
    """

    def __init__(self, p: float, around: tuple[float, float], geometry: PatchGeometry) -> None:
        super().__init__(p, geometry)
        self.around = around

    def sample(self, generator: torch.Generator) -> tuple[float, ...]:
        """Number per channel."""
        return tuple(around_one(generator, *self.around) for _ in range(self.geometry.channels))


def chance(generator: torch.Generator, p: float) -> bool:
    """True with probability `p`; 0 is never and 1 always."""
    return uniform(generator, 0.0, 1.0) < p


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """One number from [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def around_one(generator: torch.Generator, low: float, high: float) -> float:
    """One factor: below or above 1 with equal probability, uniform on that side (batchgenerators' contrast draw)."""
    if low < 1 and chance(generator, 0.5):
        return uniform(generator, low, min(1.0, high))
    return uniform(generator, max(1.0, low), max(1.0, high))


def draw_index(generator: torch.Generator, count: int) -> int:
    """One of 0..count - 1."""
    return int(torch.randint(count, (), generator=generator))


def draw_seed(generator: torch.Generator) -> int:
    """Seed for what is too large to be drawn beforehand, such as a noise field."""
    return int(torch.randint(0, 2**31 - 1, (), generator=generator))
