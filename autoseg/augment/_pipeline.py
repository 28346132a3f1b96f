"""Augment a batch: draw per sample from its seed, then apply each step to the samples it was drawn for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autoseg.augment import augmentations
from autoseg.augment._affine import Box
from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._transform import Transform
from autoseg.augment.spatial import Spatial
from autoseg.core.errors import GeometryError, SpecError
from autoseg.specs.document import Component


class Pipeline:
    """The chosen augmentations in order, then the reset of masked channels; without any, the crop to the patch.

    Args:
        components: Registered augmentations with their options, in order of application.
        geometry: The patch and its rules.

    Raises:
        SpecError: An augmentation that needs more than the patch is not the first.
        RegistryError: Unknown augmentation or option.
    """

    def __init__(self, components: Sequence[Component], geometry: PatchGeometry) -> None:
        self.geometry = geometry
        self.transforms: tuple[Transform, ...] = tuple(
            augmentations.build(component.name, component.options, geometry=geometry) for component in components
        )
        for component, transform in list(zip(components, self.transforms, strict=True))[1:]:
            if transform.source_size_voxels != geometry.patch_size_voxels:
                raise SpecError(f"augmentation '{component.name}' needs more than the patch", "put it first")
        first = self.transforms[:1]
        self.source_size_voxels = first[0].source_size_voxels if first else geometry.patch_size_voxels

    def needed_box(self, seed: int) -> Box:
        """Part of the source, as (start, stop) per axis, that the sample of this seed uses; the rest is not read."""
        if self.transforms and isinstance(self.transforms[0], Spatial):
            return self.transforms[0].needed_box(self.transforms[0].draw(_generator(seed)))
        return tuple((0, edge) for edge in self.source_size_voxels)

    def __call__(self, image: Tensor, labels: Tensor, *, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Augment one batch; the inputs stay as they are.

        Args:
            image: (B, C, *source) of any floating type.
            labels: (B, L, *source) of a signed integer type, -1 outside; more than one map moves together.
            seeds: One per sample; a sample's result depends on nothing else.

        Returns:
            Image (B, C, *patch), float32, and labels (B, L, *core) in the type given, where the core is the patch
            without its context. In a cascade the second label map has become one image channel per label value:
            (B, C + values, *patch) and (B, 1, *core).

        Raises:
            GeometryError: Shapes or types are not these.
        """
        self._check(image, labels, seeds)
        generators = [_generator(seed) for seed in seeds]
        drawn = [[transform.draw(generator) for transform in self.transforms] for generator in generators]
        remaining = list(enumerate(self.transforms))
        with torch.no_grad():
            if remaining and isinstance(remaining[0][1], Spatial):
                # It writes into new memory itself: no copy of the larger source.
                spatial = [row[0] for row in drawn]
                image = self.transforms[0].apply_image(image, spatial)
                labels = self.transforms[0].apply_labels(labels, spatial)
                remaining = remaining[1:]
            else:
                image = image.to(torch.float32, copy=True)
                labels = labels.clone()
            for position, transform in remaining:
                params = [row[position] for row in drawn]
                image = transform.apply_image(image, params)
                labels = transform.apply_labels(labels, params)
            self._reset_outside(image, labels)
            if self.geometry.previous_values:
                image, labels = self._one_hot_previous(image, labels)
            return image, self._core(labels)

    def _core(self, labels: Tensor) -> Tensor:
        if not any(self.geometry.context_voxels):
            return labels
        return labels[(slice(None), slice(None), *self.geometry.core)].contiguous()

    def _one_hot_previous(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        values, channels = self.geometry.previous_values, self.geometry.channels
        joined = image.new_empty((len(image), channels + len(values), *image.shape[2:]))
        joined[:, :channels] = image
        for channel, value in enumerate(values, start=channels):
            joined[:, channel] = labels[:, 1] == value
        return joined, labels[:, :1].contiguous()

    def _reset_outside(self, image: Tensor, labels: Tensor) -> None:
        for channel in self.geometry.masked_channels:
            image[:, channel].masked_fill_(labels[:, 0] < 0, 0)

    def _check(self, image: Tensor, labels: Tensor, seeds: Sequence[int]) -> None:
        expected = (len(seeds), self.geometry.channels, *self.source_size_voxels)
        if tuple(image.shape) != expected or not image.is_floating_point():
            raise GeometryError(f"image batch is {image.dtype} {list(image.shape)}", f"pass floats {list(expected)}")
        if labels.shape[:1] != image.shape[:1] or labels.shape[2:] != image.shape[2:]:
            raise GeometryError(f"label batch is {list(labels.shape)}", f"pass {[expected[0], 1, *expected[2:]]}")
        if self.geometry.previous_values and labels.shape[1] != 2:
            raise GeometryError(f"a cascade got {labels.shape[1]} label map(s)", "pass the own and the previous labels")
        if labels.is_floating_point() or not labels.dtype.is_signed:
            raise GeometryError(f"labels are {labels.dtype}", "pass a signed integer type, which can hold -1")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
