"""A region-of-interest cascade: an organ on a coarse grid, then full resolution around it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.core.errors import SpecError
from autoseg.core.geometry import Vector3
from autoseg.core.labels import BACKGROUND, IGNORE, LabelSpace
from autoseg.core.registry import nearest
from autoseg.planning.configure import Fitted
from autoseg.planning.context import Context
from autoseg.planning.frame import checked_spacing, numbers
from autoseg.planning.spacing import FloatArray
from autoseg.planning.topology import smaller_patch
from autoseg.specs.dataset import Dataset
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.method import RegionChoices
from autoseg.specs.plan import Configuration, Decision, Region

ORGAN = "3d_organ"
"""First stage: the organ as one region."""
ROI = "3d_roi_fullres"
"""Second stage: every label, around the organ."""
ORGAN_2D, ROI_2D = "2d_organ", "2d_roi"
"""Both stages slice by slice: `[plan.region] dimensions = 2`."""
PATCHES_PER_AXIS = 1.5
"""Median case of the first stage, in patches: two windows at the usual step."""
LEAST_RATIO = 8.0
"""The first stage has at least this many times fewer voxels than the second: half the resolution."""
LEAST_ORGAN_VOXELS = 16.0
"""Diameter of the median organ, as a ball, below which the grid is not coarsened: 1 voxel is then 6 % of it."""
FITTING_BOXES = 90
"""Per cent of the training cases whose box is to fit the second stage's patch: one window each (our decision)."""
ORGAN_FEATURES = 16
"""Width of the first stage's finest level at most (our decision)."""
GROWTH = 1.03
"""Factor of the spacing per step, as for `3d_lowres`."""


@dataclass(frozen=True)
class Organ:
    """What the training cases say about the organ.

    Attributes:
        name: Of the first stage's region.
        values: Label values that make it up.
        host: The one with most voxels.
        volumes_ml: Of every case that has any.
    """

    name: str
    values: tuple[int, ...]
    host: int
    volumes_ml: tuple[float, ...]

    @property
    def diameter_mm(self) -> float:
        """Of a ball with the median volume."""
        return float((6 * statistics.median(self.volumes_ml) * 1000 / math.pi) ** (1 / 3))


@dataclass(frozen=True)
class OrganFacts:
    """What the fingerprint does not hold.

    Attributes:
        extents_mm: Size of the organ's box in training cases, (z, y, x) before the transpose.
        model: Labels of the model that is the first stage.
    """

    extents_mm: tuple[Vector3, ...] = ()
    model: LabelSpace | None = None


NO_FACTS = OrganFacts()


def plan_region(
    context: Context, dataset: Dataset, fingerprint: Fingerprint, facts: OrganFacts
) -> tuple[tuple[Configuration, ...], tuple[Decision, ...]]:
    """Both stages, or the second alone where a model is the first.

    Args:
        context: Choices, budget and grid.
        dataset: Labels.
        fingerprint: Organ volumes.
        facts: Organ sizes, and labels of a given first stage.

    Raises:
        SpecError: Images are planar, a label does not exist, or no case holds the organ.
        BudgetError: No patch fits the budget.
    """
    choices = context.rules.choices.region or RegionChoices()
    if context.frame.is_planar:
        raise SpecError("[plan.region] needs volumes, the images are planar", "choose another method")
    space = dataset.label_space()
    organ = find_organ(choices.labels, space, fingerprint)
    decisions = [_organ_decision(organ, space)]
    stages: list[Configuration] = []
    if choices.model is None:
        first, reasons = _first_stage(context, organ, dataset, choices)
        stages, decisions = [first], [*decisions, *reasons]
        found_as: tuple[int, ...] = (organ.host,)
    else:
        found_as = _found_as(choices, facts.model or space)
        topic = stage_names(choices)[0]
        decisions.append(Decision(topic=topic, value=choices.model, reason="the method names a trained model"))
    region = Region(
        labels=organ.values,
        host=organ.host,
        found_as=found_as,
        volume_ml=(min(organ.volumes_ml), max(organ.volumes_ml)),
        **{name: getattr(choices, name) for name in _CHOSEN},
    )
    second, reasons = _second_stage(context, region, dataset, facts.extents_mm)
    return (*stages, second), (*decisions, *reasons)


def stage_names(choices: RegionChoices) -> tuple[str, str]:
    """Configurations of both stages."""
    return (ORGAN_2D, ROI_2D) if choices.dimensions == 2 else (ORGAN, ROI)


_CHOSEN = ("margin_mm", "input_channel", "source", "blank_outside", "model", "step_size", "mirror")


def find_organ(names: Sequence[str], space: LabelSpace, fingerprint: Fingerprint) -> Organ:
    """The organ that some labels make up, as the training cases have it.

    Args:
        names: Labels; empty takes all.
        space: Labels of the data set.
        fingerprint: Voxels per label.

    Raises:
        SpecError: A label does not exist, or no case holds any.
    """
    chosen = tuple(names) or space.names
    values = _values(chosen, space, "labels")
    volumes, totals = [], dict.fromkeys(values, 0.0)
    for case in fingerprint.cases:
        millilitres = math.prod(case.spacing_mm) / 1000
        per_value = {value: case.label_voxels.get(str(value), 0) * millilitres for value in values}
        if sum(per_value.values()) > 0:
            volumes.append(sum(per_value.values()))
        for value, volume in per_value.items():
            totals[value] += volume
    if not volumes:
        raise SpecError(f"[plan.region] no training case holds {' or '.join(chosen)}", "name other labels")
    host = max(values, key=lambda value: totals[value])
    return Organ(_name_of(host, space), values, host, tuple(volumes))


def _values(names: Sequence[str], space: LabelSpace, option: str) -> tuple[int, ...]:
    known = dict(zip(space.names, space.values, strict=True))
    for name in names:
        if name not in known:
            raise SpecError(f"[plan.region] {option}: there is no label '{name}'", nearest(name, known))
    return tuple(sorted({value for name in names for value in known[name]}))


def _name_of(value: int, space: LabelSpace) -> str:
    """The smallest label that holds a value."""
    groups = sorted(zip(space.values, space.names, strict=True), key=lambda group: len(group[0]))
    return next(name for values, name in groups if value in values)


def _found_as(choices: RegionChoices, model: LabelSpace) -> tuple[int, ...]:
    if choices.model_labels:
        return _values(choices.model_labels, model, "model_labels")
    shared = [name for name in choices.labels if name in model.names]
    return _values(shared or model.names, model, "model_labels")


def _first_stage(
    context: Context, organ: Organ, dataset: Dataset, choices: RegionChoices
) -> tuple[Configuration, tuple[Decision, ...]]:
    stage, decisions = _organ_2d(context) if choices.dimensions == 2 else _organ_3d(context, organ, choices)
    labels: dict[str, int | tuple[int, ...]] = {BACKGROUND: 0, organ.name: organ.values}
    if IGNORE in dataset.labels:
        labels[IGNORE] = dataset.labels[IGNORE]
    # Read here so that labels that cannot be a network's are told now.
    LabelSpace.parse(labels, (organ.host,))
    return stage.model_copy(update={"labels": labels, "regions_class_order": (organ.host,)}), decisions


def _organ_2d(context: Context) -> tuple[Configuration, tuple[Decision, ...]]:
    """Slices as they are, or of the method's shape."""
    frame = context.frame
    fitted = context.fit(ORGAN_2D, frame.spacing_mm[1:], frame.median_shape_voxels[1:], frame.dataset_voxels)
    median = (float(frame.native_slices), *frame.median_shape_voxels[1:])
    return context.configuration(ORGAN_2D, fitted, context.planar, median=median, batch_dice=True), fitted.decisions


def _organ_3d(context: Context, organ: Organ, choices: RegionChoices) -> tuple[Configuration, tuple[Decision, ...]]:
    # A coarse organ is easily told; the width of the second stage would cost several times its training.
    context = context.thinner(ORGAN_FEATURES)
    frame = context.frame
    spacing, fitted, reason = _grid(context, organ, choices)
    decision = Decision(topic=f"{ORGAN} spacing", value=f"{numbers(spacing)} mm", reason=reason)
    median = frame.spacing_mm / spacing * frame.median_shape_voxels
    stage = context.configuration(ORGAN, fitted, context.at_spacing(spacing), median=median, batch_dice=False)
    return stage, (decision, *fitted.decisions)


def _grid(context: Context, organ: Organ, choices: RegionChoices) -> tuple[FloatArray, Fitted, str]:
    """Spacing of the first stage in the plan's axis order, what fits it, and why."""
    if choices.spacing_mm is not None:
        values = checked_spacing("region", choices.spacing_mm)
        spacing = np.asarray(values)[list(context.frame.transpose)]
        return spacing, _fit(context, spacing), "set by the method"
    spacing = context.frame.spacing_mm
    fitted, reason = _fit(context, spacing), "the median case takes two windows per axis, at half the resolution"
    while not _is_coarse(context, spacing, fitted):
        fine = max(spacing) / spacing > 2
        wider = np.where(fine | ~fine.any(), spacing * GROWTH, spacing)
        if organ.diameter_mm / float(np.prod(wider)) ** (1 / 3) < LEAST_ORGAN_VOXELS:
            reason = "no coarser, as the organ would be less wide"
            break
        spacing = wider
        fitted = _fit(context, spacing)
    across = organ.diameter_mm / float(np.prod(spacing)) ** (1 / 3)
    return spacing, fitted, f"{reason}; the median organ, as a ball, is {across:.0f} voxels wide"


def _fit(context: Context, spacing: FloatArray) -> Fitted:
    frame = context.frame
    shape = frame.spacing_mm / spacing * frame.median_shape_voxels
    rounded = tuple(round(float(size)) for size in shape)
    return context.fit(ORGAN, spacing, rounded, float(np.prod(shape)) * frame.cases)


def _is_coarse(context: Context, spacing: FloatArray, fitted: Fitted) -> bool:
    frame = context.frame
    shape = frame.spacing_mm / spacing * frame.median_shape_voxels
    few = bool((shape <= PATCHES_PER_AXIS * np.asarray(fitted.patch_size_voxels)).all())
    return few and float(np.prod(frame.median_shape_voxels / shape)) >= LEAST_RATIO


def _second_stage(
    context: Context, region: Region, dataset: Dataset, extents_mm: Sequence[Vector3]
) -> tuple[Configuration, tuple[Decision, ...]]:
    choices = context.rules.choices.region or RegionChoices()
    frame = context.frame
    median, share = _usual_crop(context, region, extents_mm)
    organ_stage, name = stage_names(choices)
    planar = choices.dimensions == 2
    fitted = context.fit(name, frame.spacing_mm[planar:], median[planar:], frame.dataset_voxels * share)
    preprocessing = context.planar if planar else context.preprocessing
    stage = context.configuration(name, fitted, preprocessing, median=median, batch_dice=True)
    labels, order = _targets(dataset, _target_names(dataset.label_space(), region, choices))
    first = None if choices.model is not None else organ_stage
    update = {"region": region, "previous_stage": first, "labels": labels, "regions_class_order": order}
    shared, reasons = _part_for_training(context, name, fitted, choices.cpu_patch_share)
    low, high = region.volume_ml
    plausible = Decision(
        topic=f"{name} plausible organ",
        value=f"{low / 2:.0f} to {2 * high:.0f} ml",
        reason=f"half the smallest ({low:.0f} ml) to twice the largest ({high:.0f} ml) of the training cases; "
        "outside of it the whole case is segmented",
    )
    where = Decision(
        topic=f"{name} region",
        value=f"organ's box + {region.margin_mm:g} mm{', organ as extra channel' if region.input_channel else ''}",
        reason=f"chosen by the method; training boxes are made from {region.source} organs; {FITTING_BOXES} % of the "
        f"boxes fit one that is {share:.0%} of the median case",
    )
    batch_dice = Decision(topic=f"{name} batch Dice", value="pooled over the batch", reason="targets are small")
    return stage.model_copy(update=update | shared), (where, plausible, *fitted.decisions, *reasons, batch_dice)


def _part_for_training(
    context: Context, name: str, fitted: Fitted, share: float
) -> tuple[dict[str, tuple[int, ...]], tuple[Decision, ...]]:
    """Patch and window where training sees a part of what prediction does; nothing where they are equal."""
    window = fitted.patch_size_voxels
    part = smaller_patch(window, fitted.divisors, most_voxels=share * math.prod(window))
    if context.rules.budget.operations is None or part == window:
        return {}, ()
    decision = Decision(
        topic=f"{name} training patch",
        value=f"{numbers(part)} voxels",
        reason=f"at most {share:.0%} of the window that is predicted at once, for more updates in the time of a CPU",
    )
    return {"patch_size_voxels": part, "window_size_voxels": window}, (decision,)


def _usual_crop(context: Context, region: Region, extents_mm: Sequence[Vector3]) -> tuple[FloatArray, float]:
    """Box that most cases fit on the target grid, and its share of the median case; the whole case without measures."""
    whole = context.frame.median_shape_voxels
    if not extents_mm:
        return whole, 1.0
    sizes = np.asarray(extents_mm)[:, list(context.frame.transpose)] + 2 * region.margin_mm
    crop = np.minimum(np.rint(np.percentile(sizes, FITTING_BOXES, axis=0) / context.frame.spacing_mm), whole)
    return crop, float(np.prod(crop / whole))


def _target_names(space: LabelSpace, region: Region, choices: RegionChoices) -> tuple[str, ...]:
    """Labels that the second stage learns; empty for all.

    Raises:
        SpecError: Lesions are wanted and the organ has none.
    """
    if choices.targets != "lesions":
        return choices.targets
    inside = set(region.labels) - {region.host}
    lesions = tuple(name for name, values in zip(space.names, space.values, strict=True) if inside.issuperset(values))
    if not lesions:
        raise SpecError(
            '[plan.region] targets = "lesions": the organ has no other label in it', "choose another method"
        )
    return lesions


def _targets(
    dataset: Dataset, names: Sequence[str]
) -> tuple[dict[str, int | tuple[int, ...]] | None, tuple[int, ...] | None]:
    """Labels and class order of the second stage where it does not learn all."""
    space = dataset.label_space()
    _values(names, space, "targets")
    if not names or set(names) == set(space.names):
        return None, None
    labels = {name: value for name, value in dataset.labels.items() if name in (*names, BACKGROUND, IGNORE)}
    order = None
    if space.class_order is not None:
        order = tuple(value for name, value in zip(space.names, space.class_order, strict=True) if name in names)
    LabelSpace.parse(labels, order)
    return labels, order


def _organ_decision(organ: Organ, space: LabelSpace) -> Decision:
    return Decision(
        topic="organ",
        value=f"{organ.name}, from the labels {', '.join(str(value) for value in organ.values)}",
        reason=f"{organ.host} has most voxels of them; {min(organ.volumes_ml):.0f} to {max(organ.volumes_ml):.0f} ml "
        f"in {len(organ.volumes_ml)} cases, labels of the data set: {', '.join(space.names)}",
    )
