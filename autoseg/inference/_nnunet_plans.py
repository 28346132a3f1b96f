"""nnU-Net's `plans.json` and `dataset.json`, read as our configuration and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autoseg.core.errors import SpecError
from autoseg.core.labels import IGNORE
from autoseg.inference._nnunet_network import refused, take_architecture
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.plan import Configuration, Preprocessing, Resampling

Labels = dict[str, int | tuple[int, ...]]
NORMALIZERS = {
    "ZScoreNormalization": "zscore",
    "CTNormalization": "ct_clip",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale_to_0_1",
    "RGBTo01Normalization": "rgb_to_0_1",
}
READERS = ("SimpleITKIO", "NibabelIO", "Tiff3DIO", "NaturalImage2DIO")
"""Those that leave the axes as stored."""
SPLINE, LINEAR = "resample_data_or_seg_to_shape", "resample_torch_fornnunet"
NEVER_SEPARATE = 1e9
"""As a ratio of spacings."""
STATISTICS = {
    "mean": "mean",
    "median": "median",
    "std": "std",
    "minimum": "min",
    "maximum": "max",
    "percentile_00_5": "percentile_00_5",
    "percentile_99_5": "percentile_99_5",
}
_TOP_KEYS = frozenset(
    (
        *("dataset_name", "plans_name", "original_median_spacing_after_transp", "original_median_shape_after_transp"),
        *("image_reader_writer", "transpose_forward", "transpose_backward", "configurations", "label_manager"),
        *("experiment_planner_used", "foreground_intensity_properties_per_channel", "continue_training"),
        "foreground_intensity_properties_by_modality",
    )
)
_UNUSED_KEYS = ("data_identifier", "next_stage", "inherits_from")
"""Of a configuration: they name files and neighbours that a model folder does not need."""


def resolved(plans: Mapping[str, Any], name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """One configuration with what it inherits.

    Raises:
        SpecError: It is missing, or inherits from itself.
    """
    sections = plans.get("configurations", {})
    if name not in sections or name in seen:
        problem = "inherits from itself" if name in seen else "is not in plans.json"
        raise SpecError(f"nnU-Net's configuration '{name}' {problem}", "copy the model folder again")
    own = dict(sections[name])
    parent = own.get("inherits_from")
    return own if parent is None else {**resolved(plans, parent, (*seen, name)), **own}


def read_configuration(plans: Mapping[str, Any], name: str, *, channels: int, trainer: str) -> Configuration:
    """Our form of one configuration.

    Args:
        plans: `plans.json`.
        name: Configuration.
        channels: Image channels.
        trainer: Name of the trainer's class.

    Raises:
        SpecError: A setting that has no counterpart here, by its name, or one that is missing or of a wrong type.
    """
    try:
        return _configuration(plans, name, channels=channels, trainer=trainer)
    except KeyError as error:
        raise SpecError(f"plans.json lacks {error} of '{name}'", "copy the model folder again") from error
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise SpecError(f"plans.json is damaged at '{name}' ({error})", "copy the model folder again") from error


def _configuration(plans: Mapping[str, Any], name: str, *, channels: int, trainer: str) -> Configuration:
    for key in plans:
        if key not in _TOP_KEYS:
            raise refused(key, plans[key])
    if plans.get("label_manager", "LabelManager") != "LabelManager":
        raise refused("label_manager", plans["label_manager"])
    if plans["image_reader_writer"] not in READERS:
        raise refused("image_reader_writer", plans["image_reader_writer"])
    section = resolved(plans, name)
    for key in _UNUSED_KEYS:
        section.pop(key, None)
    topology, network = take_architecture(section, trainer=trainer)
    if section.pop("preprocessor_name") != "DefaultPreprocessor":
        raise refused("preprocessor_name", resolved(plans, name)["preprocessor_name"])
    patch = tuple(int(edge) for edge in section.pop("patch_size"))
    if len(patch) != topology.dimensions:
        raise SpecError(f"nnU-Net's patch_size {patch} does not fit its network", "mend plans.json")
    configuration = Configuration(
        name=name,
        preprocessing=_preprocessing(plans, section, channels),
        patch_size_voxels=patch,
        batch_size=int(section.pop("batch_size")),
        median_shape_voxels=_median_shape(plans, section.pop("median_image_size_in_voxels")),
        topology=topology,
        network=network,
        batch_dice=bool(section.pop("batch_dice", False)),
        previous_stage=section.pop("previous_stage", None),
    )
    for key, value in section.items():
        raise refused(f"configurations.{name}.{key}", value)
    return configuration


def read_labels(dataset: Mapping[str, Any]) -> tuple[Labels, tuple[int, ...] | None]:
    """Labels in the order of the network's heads, and the regions' class order.

    nnU-Net's class heads follow the values, whatever the order in the file, and it writes the head's number: values
    must be 1, 2, 3, ... Regions follow the order in the file.

    Raises:
        SpecError: Values that nnU-Net would not write as they are.
    """
    try:
        labels: Labels = {
            name: tuple(int(each) for each in value) if isinstance(value, list) else int(value)
            for name, value in dataset["labels"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpecError(f"dataset.json has no valid labels ({error})", "copy the model folder again") from error
    if any(isinstance(value, tuple) and len(value) > 1 for value in labels.values()):
        order = dataset.get("regions_class_order")
        if order is None:
            raise SpecError("dataset.json has regions but no regions_class_order", "copy the model folder again")
        return labels, tuple(int(value) for value in order)
    single = {name: value[0] if isinstance(value, tuple) else value for name, value in labels.items()}
    inner = sorted((name for name in single if name != IGNORE), key=lambda name: single[name])
    if [single[name] for name in inner] != list(range(len(inner))):
        raise SpecError(
            f"the labels {single} are not 0, 1, 2, ...", "nnU-Net itself cannot write them; mend dataset.json"
        )
    return {name: single[name] for name in (*inner, *(name for name in single if name == IGNORE))}, None


def channels_of(dataset: Mapping[str, Any]) -> tuple[str, ...]:
    """Channel names in index order; nnU-Net still reads the older key `modality`."""
    names = dataset.get("channel_names", dataset.get("modality"))
    if not isinstance(names, dict) or not names:
        raise SpecError("dataset.json has no channel_names", "copy the model folder again")
    return tuple(str(names[index]) for index in sorted(names, key=int))


def _preprocessing(plans: Mapping[str, Any], section: dict[str, Any], channels: int) -> Preprocessing:
    spacing = [float(value) for value in section.pop("spacing")]
    schemes, masks = section.pop("normalization_schemes"), section.pop("use_mask_for_norm")
    statistics = plans.get(
        "foreground_intensity_properties_per_channel", plans.get("foreground_intensity_properties_by_modality", {})
    )
    if not len(schemes) == len(masks) == len(statistics) == channels:
        raise SpecError(
            f"plans.json has {len(schemes)} normalisations, {len(masks)} masks and intensities of {len(statistics)} "
            f"channels, dataset.json has {channels} channels",
            "copy the model folder again",
        )
    for scheme in schemes:
        if scheme not in NORMALIZERS:
            raise refused("normalization_schemes", scheme)
    planar = len(spacing) == 2
    apart = float(plans["original_median_spacing_after_transp"][0])
    first, second, third = (apart, *spacing) if planar else spacing
    return Preprocessing(
        orientation="as_stored",
        transpose=_three(plans["transpose_forward"]),
        spacing_mm=(first, second, third),
        native_axes=(0,) if planar else (),
        normalization=tuple(Component(name=NORMALIZERS[scheme]) for scheme in schemes),
        mask_normalization=tuple(bool(mask) for mask in masks),
        intensities=tuple(_statistics(statistics, index) for index in range(channels)),
        resampling=_resampling(section),
    )


def _statistics(channels: Mapping[str, Any], index: int) -> IntensityStatistics:
    try:
        values = channels[str(index)]
        return IntensityStatistics(**{own: float(values[peer]) for own, peer in STATISTICS.items()})
    except KeyError as error:
        raise SpecError(f"plans.json lacks {error} of the intensities of channel {index}", "copy it again") from error


def _resampling(section: dict[str, Any]) -> Resampling:
    orders, ratios = {}, set()
    for use, own in (("data", "image_order"), ("seg", "label_order"), ("probabilities", "logits_order")):
        name = section.pop(f"resampling_fn_{use}")
        values = dict(section.pop(f"resampling_fn_{use}_kwargs", None) or {})
        where = f"resampling_fn_{use}"
        if values.pop("is_seg", False) != (use == "seg"):
            raise refused(f"{where}_kwargs.is_seg", use != "seg")
        readers: dict[str, Callable[[dict[str, Any], str], int]] = {SPLINE: _spline_order, LINEAR: _linear_order}
        if name not in readers:
            raise refused(where, name)
        ratios.add(_separate_ratio(values, f"{where}_kwargs", default=False if name == SPLINE else None))
        orders[own] = readers[name](values, f"{where}_kwargs")
        for key, value in values.items():
            raise refused(f"{where}_kwargs.{key}", value)
    if len(ratios) > 1:
        raise refused("resampling_fn_*_kwargs.force_separate_z", "different for images, labels and probabilities")
    return Resampling(
        image_order=orders["image_order"],
        label_order=orders["label_order"],
        logits_order=orders["logits_order"],
        separate_z_ratio=ratios.pop(),
    )


def _separate_ratio(values: dict[str, Any], where: str, *, default: bool | None) -> float:
    """None is the rule of nnU-Net, False never, True always where one axis is the coarsest."""
    forced = values.pop("force_separate_z", default)
    ratio = float(values.pop("separate_z_anisotropy_threshold", 3.0))
    if forced not in (None, True, False):
        raise refused(f"{where}.force_separate_z", forced)
    return ratio if forced is None else 0.0 if forced else NEVER_SEPARATE


def _spline_order(values: dict[str, Any], where: str) -> int:
    if values.pop("order_z", 0) != 0:
        raise refused(f"{where}.order_z", "other than 0")
    order = values.pop("order", 3)
    if order not in (0, 1, 2, 3, 4, 5):
        raise refused(f"{where}.order", order)
    return int(order)


def _linear_order(values: dict[str, Any], where: str) -> int:
    """Torch's linear interpolation is the spline of order 1: same voxel edges, edges repeated."""
    values.pop("memefficient_seg_resampling", None)
    for key, only in (("mode", "linear"), ("aniso_axis_mode", "nearest-exact")):
        if values.pop(key, only) != only:
            raise refused(f"{where}.{key}", f"other than {only}")
    for key in ("num_threads", "device"):
        values.pop(key, None)
    return 1


def _median_shape(plans: Mapping[str, Any], values: Sequence[float]) -> tuple[int, int, int]:
    whole = [plans["original_median_shape_after_transp"][0], *values] if len(values) == 2 else values
    return _three([round(float(value)) for value in whole])


def _three(values: Sequence[int]) -> tuple[int, int, int]:
    first, second, third = (int(value) for value in values)
    return (first, second, third)
