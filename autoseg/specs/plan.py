"""`plan.json`: everything that follows from the data, with the reason of each decision."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace
from autoseg.core.registry import nearest
from autoseg.specs.document import Component, Document, Section, without
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.laterality import Laterality

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
    align: Literal["edges", "corners"] = "edges"
    """What both grids share: the extent of their voxels, or the centres of the corner voxels (`scipy.ndimage.zoom`)."""

    @model_serializer(mode="wrap")
    def _without_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Rules that align edges keep the digest that they had before there were others."""
        return without(handler(self), align="edges")


class FixedCrop(Section):
    """One box for all cases; images that end within it are kept whole along that axis."""

    size_voxels: tuple[int, int, int]
    """On the target grid, after the transpose."""
    centre_mm: tuple[float, float, float]
    """Its middle, from the middle of the image, after the transpose."""


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
    fixed_crop: FixedCrop | None = None
    """Crop all cases to this box instead."""
    target_shape_voxels: tuple[int, int, int] | None = None
    """Shape of every stored case after the transpose, whatever its spacing; `native_axes` keep their size."""

    @model_serializer(mode="wrap")
    def _without_shape(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Sections with a target spacing keep the digest that they had before there were target shapes."""
        return without(handler(self), target_shape_voxels=None, fixed_crop=None)


class Region(Section):
    """Second stage of a region-of-interest cascade: works only on a box around an organ that a first stage found."""

    labels: tuple[int, ...]
    """Label values of the data set that make up the organ."""
    host: int
    """The organ's own tissue among them; the others (tumours) are only left inside of the organ."""
    found_as: tuple[int, ...]
    """Label values that mean the organ in the first stage's masks."""
    volume_ml: tuple[float, float]
    """Smallest and largest organ of the training cases."""
    margin_mm: float
    """Added to the organ's box on every side."""
    input_channel: bool = True
    """Whether the organ's mask is an extra channel."""
    source: Literal["predicted", "reference"] = "predicted"
    """What the boxes of the training cases are made from: the first stage's held-out masks, or the references."""
    blank_outside: bool = False
    """Whether voxels outside of the organ are 0 in the normalised image."""
    model: str | None = None
    """Folder of the model that is the first stage; None for a configuration of the same plan."""
    step_size: float = Field(default=0.5, gt=0, le=1)
    """Window step of the first stage."""
    mirror: bool = False
    """Whether the first stage averages over mirrored copies."""


_LATER_FIELDS = dict.fromkeys(("labels", "regions_class_order", "region", "window_size_voxels"))
"""Left out of documents where they are None, so that plans and runs without them keep their digests."""


class Configuration(Section):
    """One network on one grid."""

    name: str
    """`2d`, `3d_fullres`, `3d_lowres`, `3d_cascade_fullres`, `3d_organ`, `3d_roi_fullres`, `2d_organ` or `2d_roi`."""
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
    """Configuration that comes before this one: its prediction is an extra input, or finds the region."""
    labels: dict[str, int | tuple[int, ...]] | None = None
    """Labels that this network learns, where they are not the data set's."""
    regions_class_order: tuple[int, ...] | None = None
    """Of `labels`, where they are regions."""
    region: Region | None = None
    """Where this network looks; None for the whole case."""
    window_size_voxels: tuple[int, ...] | None = None
    """Window of prediction, as the patch; None is the patch."""

    @property
    def window(self) -> tuple[int, ...]:
        """Voxels that the network sees at once in prediction."""
        return self.window_size_voxels or self.patch_size_voxels

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return len(self.patch_size_voxels)

    @property
    def is_first_stage(self) -> bool:
        """Whether it only finds the region for another configuration: its labels are not the data set's."""
        return self.labels is not None and self.region is None

    def label_space(
        self, labels: dict[str, int | tuple[int, ...]], regions_class_order: tuple[int, ...] | None
    ) -> LabelSpace:
        """What the network's heads mean: its own labels, else the data set's.

        Args:
            labels: Of the data set.
            regions_class_order: Of the data set.
        """
        if self.labels is None:
            return LabelSpace.parse(labels, regions_class_order)
        return LabelSpace.parse(self.labels, self.regions_class_order)

    @model_serializer(mode="wrap")
    def _without_later_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without(handler(self), **_LATER_FIELDS)

    def input_channels(self, image_channels: int, space: LabelSpace) -> int:
        """Channels that the network takes: those of the image, and one per value of `previous_values`."""
        return image_channels + len(self.previous_values(space))

    def previous_values(self, space: LabelSpace) -> tuple[int, ...]:
        """Label values of the previous stage that are an extra channel each: all, or the organ, or none."""
        if self.region is not None:
            return (self.region.host,) if self.region.input_channel else ()
        return () if self.previous_stage is None else space.foreground_values


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
    laterality: Laterality | None = None
    """Labels that change places where left-right is mirrored; None for none."""
    configurations: dict[str, Configuration]
    """By name."""
    decisions: tuple[Decision, ...]
    """In the order they were taken."""

    @model_serializer(mode="wrap")
    def _without_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Plans that exchange no labels keep the digest that they had before there were others."""
        return without(handler(self), laterality=None)

    def configuration(self, name: str) -> Configuration:
        """Configuration by name.

        Raises:
            SpecError: When the plan has none of that name.
        """
        if name not in self.configurations:
            raise SpecError(f"the plan of {self.dataset} has no '{name}'", nearest(name, self.configurations))
        return self.configurations[name]

    @property
    def candidates(self) -> tuple[str, ...]:
        """Configurations that may be chosen: all but those that only find a region for another."""
        return tuple(name for name, one in self.configurations.items() if not one.is_first_stage)

    def stages(self, name: str) -> tuple[str, ...]:
        """A configuration after the stages that it takes its input from, first stage first.

        Raises:
            SpecError: When the plan has none of that name.
        """
        previous = self.configuration(name).previous_stage
        return (name,) if previous is None else (*self.stages(previous), name)
