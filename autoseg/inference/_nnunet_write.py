"""Our members as nnU-Net's `plans.json` and `dataset.json`; what those cannot hold is refused by name."""

from __future__ import annotations

from typing import Any

from autoseg.core.errors import SpecError
from autoseg.core.labels import BACKGROUND, IGNORE
from autoseg.inference._nnunet_network import architecture_of
from autoseg.inference._nnunet_plans import NEVER_SEPARATE, NORMALIZERS, SPLINE, STATISTICS, read_labels
from autoseg.specs.model import Model
from autoseg.specs.plan import Configuration


def plans_of(model: Model, *, plans_name: str) -> dict[str, Any]:
    """`plans.json` for our members.

    Raises:
        SpecError: A setting that nnU-Net's plans cannot hold, by its name.
    """
    sections = [member.configuration for member in model.members.values()]
    shared = [(one.preprocessing.transpose, one.preprocessing.intensities) for one in sections]
    if len(set(shared)) > 1:
        raise SpecError("the members differ in axis order or intensities, nnU-Net's do not", "export single members")
    transpose, intensities = shared[0]
    next_stages = {one.previous_stage: one.name for one in sections if one.previous_stage is not None}
    first = sections[0]
    return {
        "dataset_name": model.dataset,
        "plans_name": plans_name,
        "original_median_spacing_after_transp": list(first.preprocessing.spacing_mm or (1.0, 1.0, 1.0)),
        "original_median_shape_after_transp": list(first.median_shape_voxels),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(transpose),
        "transpose_backward": [transpose.index(axis) for axis in range(3)],
        "configurations": {one.name: _section(one, plans_name, next_stages.get(one.name)) for one in sections},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(index): {peer: getattr(channel, own) for own, peer in STATISTICS.items()}
            for index, channel in enumerate(intensities)
        },
    }


def dataset_of(model: Model) -> dict[str, Any]:
    """`dataset.json` for our labels and channels.

    Raises:
        SpecError: Labels that nnU-Net would not write as they are.
    """
    labels = {name: list(value) if isinstance(value, tuple) else value for name, value in model.labels.items()}
    found: dict[str, Any] = {
        "channel_names": {str(index): name for index, name in enumerate(model.channels)},
        "labels": labels,
        "numTraining": model.training_cases,
        "file_ending": model.file_ending,
    }
    if model.regions_class_order is not None:
        found["regions_class_order"] = list(model.regions_class_order)
        if not any(isinstance(value, tuple) and len(value) > 1 for value in model.labels.values()):
            raise SpecError("regions of one label each are classes to nnU-Net", "give one region several labels")
    if model.licence:
        found["licence"] = model.licence
    read_labels(found)
    return found


def label_order(model: Model) -> tuple[int, ...] | None:
    """Our head behind each of nnU-Net's, where the orders differ."""
    if model.regions_class_order is not None:
        return None
    own = [value for name, value in model.labels.items() if name not in (BACKGROUND, IGNORE)]
    order = (0, *(1 + own.index(value) for value in sorted(own, key=_single)))
    return None if order == tuple(range(len(order))) else order


def _single(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


def _section(one: Configuration, plans_name: str, next_stage: str | None) -> dict[str, Any]:
    preprocessing = one.preprocessing
    if preprocessing.orientation != "as_stored":
        raise SpecError(
            f"'{one.name}' turns images to the canonical frame, nnU-Net takes them as stored",
            "train with --set plan.orientation=as_stored (method nnunet does)",
        )
    planar = one.dimensions == 2
    own_crop = preprocessing.fixed_crop is not None or not preprocessing.crop_to_nonzero
    if own_crop or preprocessing.spacing_mm is None:
        raise SpecError(f"'{one.name}' does not crop or resample, nnU-Net always does", "train with method nnunet")
    if preprocessing.native_axes != ((0,) if planar else ()):
        raise SpecError(f"'{one.name}' keeps spacings that nnU-Net does not keep", "train with method nnunet")
    peers = {own: peer for peer, own in NORMALIZERS.items()}
    for component in preprocessing.normalization:
        if component.name not in peers or component.options:
            raise SpecError(
                f"nnU-Net has no normalisation '{component.name}' {component.options}", "train with another"
            )
    rule = preprocessing.resampling
    if rule.align != "edges":
        raise SpecError(f"'{one.name}' aligns the corners of grids, nnU-Net their edges", "train with method nnunet")
    section: dict[str, Any] = {
        "data_identifier": f"{plans_name}_{one.name}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": one.batch_size,
        "patch_size": list(one.patch_size_voxels),
        "median_image_size_in_voxels": [float(edge) for edge in one.median_shape_voxels[1 if planar else 0 :]],
        "spacing": list(preprocessing.spacing_mm[1 if planar else 0 :]),
        "normalization_schemes": [peers[component.name] for component in preprocessing.normalization],
        "use_mask_for_norm": list(preprocessing.mask_normalization),
        **{
            key: value
            for use, order in (
                ("data", rule.image_order),
                ("seg", rule.label_order),
                ("probabilities", rule.logits_order),
            )
            for key, value in _resampling_section(use, order, rule.separate_z_ratio).items()
        },
        "architecture": architecture_of(one.topology, one.network),
        "batch_dice": one.batch_dice,
    }
    stages = {"previous_stage": one.previous_stage, "next_stage": next_stage}
    return section | {key: value for key, value in stages.items() if value is not None}


def _resampling_section(use: str, order: int, ratio: float) -> dict[str, Any]:
    forced = {0.0: True, NEVER_SEPARATE: False}.get(ratio)
    values: dict[str, Any] = {"is_seg": use == "seg", "order": order, "order_z": 0, "force_separate_z": forced}
    if forced is None and ratio != 3.0:
        values["separate_z_anisotropy_threshold"] = ratio
    return {f"resampling_fn_{use}": SPLINE, f"resampling_fn_{use}_kwargs": values}
