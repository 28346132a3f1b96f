"""From fingerprint and method to the plan: all configurations, every decision with its reason. No disk, no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.core.errors import SpecError
from autoseg.core.registry import nearest
from autoseg.devices.budget import DeviceBudget
from autoseg.planning import channels as channel_rules
from autoseg.planning.budget import budget_for
from autoseg.planning.configure import Fitted, Rules
from autoseg.planning.context import Context
from autoseg.planning.fixed_crop import fix_crop
from autoseg.planning.frame import checked_spacing, make_frame, numbers
from autoseg.planning.loss import check_loss
from autoseg.planning.mirroring import plan_mirroring
from autoseg.planning.precision import float32_stages
from autoseg.planning.region import NO_FACTS, ORGAN, ORGAN_2D, ROI, ROI_2D, OrganFacts, plan_region
from autoseg.planning.spacing import FloatArray
from autoseg.specs.dataset import Dataset
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.method import Method, PlanChoices
from autoseg.specs.plan import Configuration, Decision, Plan, Preprocessing, Resampling

CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres", ORGAN, ROI, ORGAN_2D, ROI_2D)
OVERRIDES = ("spacing_mm", "patch_size_voxels", "batch_size", "features", "stages", "target_shape_voxels")

LOWRES_BELOW_PATCH_SHARE = 0.25
"""A low resolution is planned when the patch holds less than this share of the median case (nnU-Net v2)."""

LOWRES_STEP = 1.03
"""Factor by which the low resolution's spacing grows until that is so (nnU-Net v2)."""

LOWRES_MINIMUM_RATIO = 2.0
"""It is dropped unless the full resolution has at least this many times its voxels (nnU-Net v2)."""


def make_plan(
    dataset: Dataset,
    fingerprint: Fingerprint,
    method: Method,
    *,
    device: DeviceBudget | None = None,
    organ: OrganFacts = NO_FACTS,
) -> Plan:
    """Plan every configuration that the data allow.

    Args:
        dataset: Channels and labels.
        fingerprint: Grids and intensities of the cases.
        method: Its `[plan]` section, and of `[train]` the loss.
        device: What `budget = "device"` fits; None plans for the method's reference.
        organ: What `[plan.region]` needs beyond the fingerprint.

    Source of the rules: nnU-Net v2 (Isensee et al., Nature Methods 2021; Isensee et al., MICCAI 2024).

    Raises:
        SpecError: No usable cases, an override that does not exist or does not fit, or a loss that is not for these
            labels.
        BudgetError: No patch fits the budget.
    """
    choices = method.plan
    _check_overrides(choices)
    channels = dataset.channels()
    frame, fixed_crop = fix_crop(make_frame(fingerprint, choices), fingerprint, choices)
    relative_size = fingerprint.median_relative_size_after_cropping
    components, masks = channel_rules.normalizations(channels, relative_size, choices.normalization)
    channel_rules.check(components, fingerprint.intensities)
    preprocessing = Preprocessing(
        orientation=choices.orientation,
        transpose=frame.transpose,
        spacing_mm=_vector(frame.spacing_mm),
        normalization=components,
        mask_normalization=masks,
        intensities=fingerprint.intensities,
        fixed_crop=fixed_crop,
        resampling=choices.resampling or Resampling(),
    )
    budget = budget_for(choices, device)
    context = Context(Rules(choices, budget, len(channels), len(dataset.labels)), frame, preprocessing)
    if choices.region is not None:
        configurations, decisions = plan_region(context, dataset, fingerprint, organ)
    else:
        wanted = choices.configurations or CONFIGURATIONS
        configurations, decisions = _plan_2d(context) if "2d" in wanted else ((), ())
        if not frame.is_planar and set(wanted) != {"2d"}:
            in_3d, reasons = _plan_3d(context)
            configurations, decisions = configurations + in_3d, decisions + reasons
    configurations = _wanted(configurations, choices)
    warnings = (*check_loss(method.train, dataset, configurations), *float32_stages(configurations))
    mirroring = plan_mirroring(choices, dataset, fingerprint, frame, configurations)
    by_method = bool(choices.normalization)
    explained = channel_rules.explain(channels, components, masks, relative_size, by_method=by_method)
    return Plan(
        dataset=fingerprint.dataset,
        method=method.name,
        fingerprint=fingerprint.digest(),
        method_digest=method.plan.digest(),
        channels=channels,
        labels=dataset.labels,
        regions_class_order=dataset.regions_class_order,
        mirror_axes=mirroring.axes,
        laterality=mirroring.laterality,
        configurations={configuration.name: configuration for configuration in configurations},
        decisions=(*frame.decisions, *explained, mirroring.decision, budget.decision, *decisions, *warnings),
    )


def _wanted(configurations: tuple[Configuration, ...], choices: PlanChoices) -> tuple[Configuration, ...]:
    """Those that the method names, and the stages before them; all where it names none.

    Raises:
        SpecError: The data allow none of them.
    """
    if not choices.configurations:
        return configurations
    planned = {one.name: one for one in configurations}
    wanted = {name for name in choices.configurations if name in planned}
    if not wanted:
        asked = ", ".join(choices.configurations)
        known = ", ".join(planned) or "2d"
        raise SpecError(f"plan.configurations: the data allow no {asked}", f"choose from {known}")
    for name in tuple(wanted):
        previous = planned[name].previous_stage
        while previous is not None:
            wanted.add(previous)
            previous = planned[previous].previous_stage
    return tuple(one for one in configurations if one.name in wanted)


def _plan_2d(context: Context) -> tuple[tuple[Configuration, ...], tuple[Decision, ...]]:
    frame = context.frame
    spacing = frame.spacing_mm[1:]
    fitted = context.fit("2d", spacing, frame.median_shape_voxels[1:], frame.dataset_voxels)
    median = (float(frame.native_slices), *frame.median_shape_voxels[1:])
    decision = Decision(
        topic="2d spacing",
        value=f"{numbers(spacing)} mm in plane",
        reason="slices across the axis with the largest spacing keep their distance; Dice is pooled over the batch",
    )
    configuration = context.configuration("2d", fitted, context.planar, median=median, batch_dice=True)
    return (configuration,), (decision, *fitted.decisions)


def _plan_3d(context: Context) -> tuple[tuple[Configuration, ...], tuple[Decision, ...]]:
    frame = context.frame
    median = frame.median_shape_voxels
    fullres = context.fit("3d_fullres", frame.spacing_mm, median, frame.dataset_voxels)
    lowres, reasons = _plan_lowres(context, fullres)
    batch_dice = Decision(
        topic="3d_fullres batch Dice",
        value="pooled over the batch" if lowres else "per patch",
        reason="patches see a small part of the case" if lowres else "there is no low resolution: patches see enough",
    )
    decisions = (*fullres.decisions, *reasons, batch_dice)
    full = context.configuration(
        "3d_fullres", fullres, context.preprocessing, median=median, batch_dice=lowres is not None
    )
    if lowres is None:
        return (full,), decisions
    cascade = full.model_copy(update={"name": "3d_cascade_fullres", "previous_stage": "3d_lowres"})
    return (full, lowres, cascade), decisions


def _plan_lowres(context: Context, fullres: Fitted) -> tuple[Configuration | None, tuple[Decision, ...]]:
    frame = context.frame
    full = frame.median_shape_voxels
    if context.fixed_shape("3d_fullres") is not None:
        return None, (_no_lowres("the method gives all cases one shape"),)
    share = _share(fullres, float(np.prod(full)))
    found = _lowres_by_override(context) if _has_spacing(context, "3d_lowres") else _search_lowres(context, fullres)
    if found is None:
        return None, (_no_lowres(f"the 3d_fullres patch holds {share:.0%} of the median case"),)
    ratio = float(np.prod(full)) / found.voxels
    if ratio < LOWRES_MINIMUM_RATIO:
        return None, (_no_lowres(f"3d_fullres would have only {ratio:.2f} times its voxels"),)
    preprocessing = context.at_spacing(found.spacing_mm)
    decision = Decision(
        topic="3d_lowres spacing",
        value=f"{numbers(found.spacing_mm)} mm",
        reason=f"{found.reason}; the 3d_fullres patch holds {share:.1%} of the median case",
    )
    median = found.median_shape_voxels
    configuration = context.configuration("3d_lowres", found.fitted, preprocessing, median=median, batch_dice=False)
    return configuration, (decision, *found.fitted.decisions)


@dataclass(frozen=True)
class _Lowres:
    fitted: Fitted
    spacing_mm: FloatArray
    median_shape_voxels: tuple[int, ...]
    voxels: float
    """Of the median case, before its shape is rounded."""
    reason: str


def _search_lowres(context: Context, fullres: Fitted) -> _Lowres | None:
    """Grow the spacing, the fine axes first where they differ by more than 2, until the patch holds a quarter."""
    spacing, found = context.frame.spacing_mm, None
    voxels, fitted = float(np.prod(context.frame.median_shape_voxels)), fullres
    while _share(fitted, voxels) < LOWRES_BELOW_PATCH_SHARE:
        fine = max(spacing) / spacing > 2
        spacing = np.where(fine | ~fine.any(), spacing * LOWRES_STEP, spacing)
        found = _lowres_at(context, spacing, "grown by 3 % until the patch holds 25 % of the median case")
        voxels, fitted = found.voxels, found.fitted
    return found


def _lowres_by_override(context: Context) -> _Lowres:
    """The method's spacing; given before the transpose."""
    values = context.rules.choices.overrides["3d_lowres"]["spacing_mm"]
    spacing = np.asarray(checked_spacing("3d_lowres", values))[list(context.frame.transpose)]
    return _lowres_at(context, spacing, "set by the method")


def _lowres_at(context: Context, spacing_mm: FloatArray, reason: str) -> _Lowres:
    frame = context.frame
    shape = frame.spacing_mm / spacing_mm * frame.median_shape_voxels
    voxels, rounded = float(np.prod(shape)), tuple(round(float(size)) for size in shape)
    fitted = context.fit("3d_lowres", spacing_mm, rounded, voxels * frame.cases)
    return _Lowres(fitted, spacing_mm, rounded, voxels, reason)


def _share(fitted: Fitted, voxels: float) -> float:
    return float(np.prod(fitted.patch_size_voxels, dtype=np.float64)) / voxels


def _has_spacing(context: Context, name: str) -> bool:
    return "spacing_mm" in context.rules.choices.overrides.get(name, {})


def _no_lowres(reason: str) -> Decision:
    return Decision(topic="3d_lowres", value="not planned", reason=reason)


def _vector(values: FloatArray) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return (first, second, third)


def _check_overrides(choices: PlanChoices) -> None:
    for configuration in choices.configurations:
        if configuration not in CONFIGURATIONS:
            raise SpecError(
                f"plan.configurations: unknown configuration '{configuration}'", nearest(configuration, CONFIGURATIONS)
            )
    for configuration, values in choices.overrides.items():
        if configuration not in CONFIGURATIONS:
            cure = nearest(configuration, CONFIGURATIONS)
            raise SpecError(f"overrides: unknown configuration '{configuration}'", cure)
        if "target_shape_voxels" in values and choices.fixed_size_voxels is not None:
            raise SpecError(
                f"{configuration}.target_shape_voxels beside plan.fixed_size_voxels", "leave one of them out"
            )
        for key in values:
            if key not in OVERRIDES:
                raise SpecError(f"overrides.{configuration}: unknown key '{key}'", nearest(key, OVERRIDES))
