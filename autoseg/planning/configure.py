"""One configuration: patch, topology and batch for a spacing and a median shape."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoseg.core.errors import SpecError
from autoseg.networks import cost
from autoseg.networks._cost import Cost
from autoseg.planning.budget import Budget, Fit, Measure, batch_for_elements, fit_elements
from autoseg.planning.frame import numbers
from autoseg.planning.speed import fit_fixed_patch, fit_speed
from autoseg.planning.topology import Pooling, cut, features_per_stage, halve, initial_patch, pool
from autoseg.specs.document import Component
from autoseg.specs.method import PlanChoices
from autoseg.specs.plan import Decision, Topology


@dataclass(frozen=True)
class Rules:
    """What all configurations of a plan share.

    Attributes:
        choices: `[plan]` of the method.
        budget: Limits of one step.
        channels: Input channels.
        outputs: Labels with background and, as nnU-Net v2 counts them, ignore.
    """

    choices: PlanChoices
    budget: Budget
    channels: int
    outputs: int


@dataclass(frozen=True)
class Fitted:
    """Patch, network, topology and batch of one configuration, with the reasons.

    Patches are multiples of the divisors.
    """

    patch_size_voxels: tuple[int, ...]
    divisors: tuple[int, ...]
    network: Component
    topology: Topology
    batch_size: int
    decisions: tuple[Decision, ...]


def fit_configuration(
    name: str,
    spacing_mm: Sequence[float],
    median_shape_voxels: Sequence[float],
    *,
    dataset_voxels: float,
    rules: Rules,
) -> Fitted:
    """Largest patch within the budget, then the batch.

    Args:
        name: Configuration.
        spacing_mm: Of the patch's axes: 3, or 2 in 2D.
        median_shape_voxels: Of the same axes.
        dataset_voxels: Median case times number of cases, always in 3D.
        rules: Shared by all configurations.

    Raises:
        SpecError: An override does not fit the configuration.
        BudgetError: No patch fits the budget.
    """
    choices, budget = rules.choices, rules.budget
    overrides = choices.overrides.get(name, {})
    measure = _measure(name, rules)
    start = initial_patch(spacing_mm, median_shape_voxels)
    wanted: Sequence[float] = median_shape_voxels if "target_shape_voxels" in overrides else start
    if "patch_size_voxels" in overrides:
        wanted = _voxels(overrides["patch_size_voxels"], len(spacing_mm), name)
    pooling = _pool(spacing_mm, wanted, overrides, name)
    if "patch_size_voxels" in overrides or "target_shape_voxels" in overrides:
        fit = _fixed_patch(pooling, measure, rules, dataset_voxels)
    elif budget.operations is None:
        fit = fit_elements(
            pooling,
            spacing_mm,
            median_shape_voxels,
            measure=measure,
            base_features=choices.base_features,
            budget=budget,
            dataset_voxels=dataset_voxels,
        )
    else:
        fit = fit_speed(
            pooling,
            spacing_mm,
            median_shape_voxels,
            measure=measure,
            choices=choices,
            budget=budget,
            dataset_voxels=dataset_voxels,
        )
    batch, batch_reason = fit.batch_size, fit.batch_reason
    if "batch_size" in overrides:
        batch, batch_reason = int(overrides["batch_size"][0]), "set by the method"
    batch_decision = Decision(topic=f"{name} batch size", value=str(batch), reason=batch_reason)
    network = network_for(fit.pooling, rules)
    rule = (
        "levels set by the method" if "stages" in overrides else "halved while edges stay >= 4 and spacings within 2x"
    )
    decisions = _decisions(name, fit, start, batch_decision, network, rule=rule)
    return Fitted(fit.pooling.patch_size_voxels, tuple(fit.pooling.divisors), network, fit.topology, batch, decisions)


def network_for(pooling: Pooling, rules: Rules) -> Component:
    """The method's network; on a CPU that folds, around it the folding of the first pooling.

    A patch with fewer than two poolings has nothing to spare and is not folded.
    """
    choices = rules.choices
    if rules.budget.operations is None or not choices.cpu.fold or pooling.stages < 3:
        return choices.network
    inner = choices.network
    return Component(
        name="folded_unet", options={"fold": pooling.strides[1], "network": inner.name, "options": inner.options}
    )


def _measure(name: str, rules: Rules) -> Measure:
    choices = rules.choices
    blocks = choices.encoder_blocks
    if rules.budget.operations is not None and choices.cpu.encoder_blocks is not None:
        blocks = choices.cpu.encoder_blocks

    def measure(pooling: Pooling, base_features: int) -> tuple[Topology, Cost]:
        network = network_for(pooling, rules)
        # The folded grid is that of stage 1, whose strides are done by folding.
        first = 1 if network.name == "folded_unet" else 0
        stages = pooling.stages - first
        # A thinner network on a CPU is thinner throughout; the cap alone would leave most weights in the bottleneck.
        cap = choices.max_features[len(pooling.divisors) - 2] * base_features // choices.base_features
        topology = Topology(
            features=_features(name, choices, features_per_stage(base_features, cap, stages)),
            strides=((1,) * len(pooling.divisors), *pooling.strides[first + 1 :]),
            kernels=pooling.kernels[first:],
            encoder_blocks=cut(blocks, stages),
            decoder_blocks=(choices.decoder_blocks,) * (stages - 1),
        )
        price = cost(
            network.name,
            network.options,
            topology=topology,
            patch_size_voxels=pooling.patch_size_voxels,
            channels=rules.channels,
            heads=rules.outputs,
        )
        return topology, price

    return measure


def _fixed_patch(pooling: Pooling, measure: Measure, rules: Rules, dataset_voxels: float) -> Fit:
    if rules.budget.operations is not None:
        return fit_fixed_patch(
            pooling, measure=measure, choices=rules.choices, budget=rules.budget, dataset_voxels=dataset_voxels
        )
    topology, price = measure(pooling, rules.choices.base_features)
    batch, reason = batch_for_elements(price, pooling.patch_size_voxels, rules.budget, dataset_voxels)
    return Fit(pooling, topology, price, batch, "set by the method, padded to the strides", reason)


def _decisions(
    name: str, fit: Fit, start: Sequence[float], batch: Decision, network: Component, *, rule: str
) -> tuple[Decision, ...]:
    features = "-".join(str(width) for width in fit.topology.features)
    folded = f" on a grid folded {numbers(network.options['fold'])}" if network.name == "folded_unet" else ""
    return (
        Decision(
            topic=f"{name} patch size",
            value=f"{numbers(fit.pooling.patch_size_voxels)} voxels",
            reason=f"started at {numbers(start)} (cubic extent, clipped to the median case); {fit.patch_reason}",
        ),
        Decision(
            topic=f"{name} topology",
            value=f"{len(fit.topology.features)} stages {features}{folded}",
            reason=f"{rule}: {numbers(fit.pooling.divisors)} in all; "
            f"{fit.cost.parameters / 1e6:.2f} million parameters",
        ),
        batch,
    )


def _features(name: str, choices: PlanChoices, planned: tuple[int, ...]) -> tuple[int, ...]:
    """Channels per stage; too few overridden ones are an error, more than the patch has stages are cut."""
    wanted = choices.overrides.get(name, {}).get("features")
    if wanted is None:
        return planned
    if len(wanted) < len(planned):
        raise SpecError(
            f"{name}.features has {len(wanted)} entries, the patch has {len(planned)} stages", "give one per stage"
        )
    return tuple(int(width) for width in wanted[: len(planned)])


def _pool(
    spacing_mm: Sequence[float], patch: Sequence[float], overrides: Mapping[str, Sequence[float]], name: str
) -> Pooling:
    """By the planner's rules, or as many levels as the method says."""
    levels = overrides.get("stages")
    return pool(spacing_mm, patch) if levels is None else halve(patch, _stages(levels, patch, name))


def _stages(values: Sequence[float], patch_size_voxels: Sequence[float], name: str) -> int:
    """Levels of the network; the coarsest must keep a voxel along every axis."""
    most = int(math.log2(min(patch_size_voxels))) + 1
    if len(values) != 1 or values[0] not in range(2, most + 1):
        found = " x ".join(f"{edge:g}" for edge in patch_size_voxels)
        raise SpecError(
            f"{name}.stages = {', '.join(f'{value:g}' for value in values)} for a patch of {found} voxels",
            f"give one whole number, at least 2 and at most {most}" if most > 1 else "enlarge the patch",
        )
    return int(values[0])


def _voxels(values: Sequence[float], dimensions: int, name: str) -> tuple[int, ...]:
    if len(values) != dimensions or min(values) < 1:
        raise SpecError(f"{name}.patch_size_voxels = {tuple(values)}", f"give {dimensions} positive whole numbers")
    return tuple(int(value) for value in values)
