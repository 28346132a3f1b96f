"""`plan.json`: everything that follows from the data, with the reason of each decision."""

from __future__ import annotations

from typing import Literal

from autoseg.core.errors import SpecError
from autoseg.core.registry import nearest
from autoseg.specs.document import Component, Document, Section
from autoseg.specs.fingerprint import IntensityStatistics

Orientation = Literal["as_stored", "canonical"]


class Topology(Section):
    """Shape of a U-Net. Axis order is (z, y, x), or (y, x) in 2D; stage 0 is the finest."""

    features: tuple[int, ...]
    """Channels per stage."""
    strides: tuple[tuple[int, ...], ...]
    """Down-sampling on entering each stage; 1s for stage 0."""
    kernels: tuple[tuple[int, ...], ...]
    """Convolution kernel per stage."""
    encoder_blocks: tuple[int, ...]
    """Convolutions (plain) or residual blocks per encoder stage."""
    decoder_blocks: tuple[int, ...]
    """Convolutions per decoder stage, coarsest first; one fewer than the stages."""

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return len(self.strides[0])


class Resampling(Section):
    """Spline orders and the separate-z rule."""

    image_order: int = 3
    """In-plane or isotropic spline order of images."""
    label_order: int = 1
    """Order of the per-class label interpolation."""
    logits_order: int = 1
    """Order of the network output's interpolation on export."""
    separate_z_ratio: float = 3.0
    """Spacing ratio above which the coarsest axis is resampled by nearest neighbour, apart from the others."""


class Preprocessing(Section):
    """What turns a raw case into a stored one; equal sections share one folder of cases."""

    orientation: Orientation
    """Keep the file's axes, or turn to the canonical frame first."""
    transpose: tuple[int, int, int]
    """Axis order: position i of the stored case is axis `transpose[i]` of the read one."""
    spacing_mm: tuple[float, float, float] | None
    """Target spacing after the transpose; None keeps each case's spacing."""
    native_axes: tuple[int, ...] = ()
    """Axes after the transpose that keep their own spacing (2D plans keep 0)."""
    normalization: tuple[Component, ...]
    """Per channel."""
    mask_normalization: tuple[bool, ...]
    """Per channel: statistics inside the non-zero mask only, outside stays 0."""
    intensities: tuple[IntensityStatistics, ...]
    """Foreground statistics per channel that `ct_clip` and its like use."""
    resampling: Resampling = Resampling()
    """Orders."""
    crop_to_nonzero: bool = True
    """Crop to the bounding box of non-zero voxels first."""


class Configuration(Section):
    """One network on one grid."""

    name: str
    """`2d`, `3d_fullres`, `3d_lowres` or `3d_cascade_fullres`."""
    preprocessing: Preprocessing
    """How the cases are made."""
    patch_size_voxels: tuple[int, ...]
    """(z, y, x), or (y, x) in 2D."""
    batch_size: int
    """Patches per training step."""
    median_shape_voxels: tuple[int, int, int]
    """Median case on the target grid."""
    topology: Topology
    """Depth, widths, strides, kernels."""
    network: Component
    """Registered network."""
    batch_dice: bool
    """Soft Dice pooled over the batch (True) or per sample."""
    previous_stage: str | None = None
    """Configuration whose prediction is an extra input (cascade)."""

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return len(self.patch_size_voxels)


class Decision(Section):
    """One thing the planner decided."""

    topic: str
    """What was decided, e.g. `3d_fullres patch size`."""
    value: str
    """The outcome, with unit."""
    reason: str
    """The rule and the numbers that led there."""


class Plan(Document):
    """All configurations of a data set under one method."""

    dataset: str
    """Folder name of the data set."""
    method: str
    """Name of the method."""
    fingerprint: str
    """Digest of the fingerprint this plan was made from."""
    method_digest: str
    """Digest of the method's `[plan]` section this plan was made with."""
    channels: tuple[str, ...]
    """Channel names."""
    labels: dict[str, int | tuple[int, ...]]
    """As in `dataset.json`."""
    regions_class_order: tuple[int, ...] | None
    """As in `dataset.json`."""
    mirror_axes: tuple[int, ...]
    """Axes after the transpose that may be mirrored, in training and at prediction."""
    configurations: dict[str, Configuration]
    """By name."""
    decisions: tuple[Decision, ...]
    """In the order they were taken."""

    def configuration(self, name: str) -> Configuration:
        """Configuration by name.

        Raises:
            SpecError: When the plan has none of that name.
        """
        if name not in self.configurations:
            raise SpecError(f"the plan of {self.dataset} has no '{name}'", nearest(name, self.configurations))
        return self.configurations[name]
