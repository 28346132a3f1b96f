"""One configuration: patch, topology and batch for a spacing and a median shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autoseg.core.errors import SpecError
from autoseg.networks._cost import Cost
from autoseg.planning.budget import Fit, Heads, batch_for_elements, fit_patch, fits_elements, patch_cost, topology_of
from autoseg.planning.frame import numbers
from autoseg.planning.topology import Pooling, initial_patch, pool
from autoseg.specs.method import PlanChoices
from autoseg.specs.plan import Decision, Topology

Overrides = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Fitted:
    """Patch, topology and batch of one configuration, with the reasons."""

    patch_size_voxels: tuple[int, ...]
    topology: Topology
    batch_size: int
    decisions: tuple[Decision, ...]


def fit_configuration(
    name: str,
    spacing_mm: Sequence[float],
    median_shape_voxels: Sequence[float],
    *,
    dataset_voxels: float,
    choices: PlanChoices,
    heads: Heads,
) -> Fitted:
    """Largest patch within the budget, then the batch.

    Args:
        name: Configuration.
        spacing_mm: Of the patch's axes: 3, or 2 in 2D.
        median_shape_voxels: Of the same axes.
        dataset_voxels: Median case times number of cases, always in 3D.
        choices: `[plan]` of the method.
        heads: Ends of the network.
    """
    overrides = choices.overrides.get(name, {})

    def measure(pooling: Pooling) -> tuple[Topology, Cost]:
        topology = _with_features(topology_of(pooling, choices, choices.base_features), overrides, name)
        return topology, patch_cost(pooling, topology, choices, heads)

    start = initial_patch(spacing_mm, median_shape_voxels)
    if "patch_size_voxels" in overrides:
        pooling = pool(spacing_mm, _voxels(overrides["patch_size_voxels"], len(spacing_mm), name))
        fit = Fit(pooling, *measure(pooling), steps=0)
        why = f"set by the method to {numbers(overrides['patch_size_voxels'])}, padded to the strides"
    else:
        fits = fits_elements(choices, len(spacing_mm))
        fit = fit_patch(pool(spacing_mm, start), spacing_mm, median_shape_voxels, measure=measure, fits=fits)
        why = f"started at {numbers(start)}, reduced {fit.steps} times until the feature maps fit the budget"
    patch = fit.pooling.patch_size_voxels
    batch, by_dataset = batch_for_elements(choices, fit.cost, patch, dataset_voxels)
    batch_reason = (
        f"{fit.cost.elements / 1e6:.1f} million elements per patch; "
        f"{choices.batch_share_of_dataset:.0%} of the data set would be {by_dataset}; at least 2"
    )
    if "batch_size" in overrides:
        batch, batch_reason = int(overrides["batch_size"][0]), "set by the method"
    fitted = Fitted(patch, fit.topology, batch, ())
    return replace(fitted, decisions=_decisions(name, fitted, fit, why, batch_reason))


def _decisions(name: str, fitted: Fitted, fit: Fit, why: str, batch_reason: str) -> tuple[Decision, ...]:
    features = "-".join(str(width) for width in fitted.topology.features)
    pools = ", ".join(f"{divisor:g}" for divisor in fit.pooling.divisors)
    return (
        Decision(topic=f"{name} patch size", value=f"{numbers(fitted.patch_size_voxels)} voxels", reason=why),
        Decision(
            topic=f"{name} topology",
            value=f"{fit.pooling.stages} stages {features}",
            reason=f"axes are halved while edges stay >= 4 and spacings within 2x; down-sampled by {pools}",
        ),
        Decision(topic=f"{name} batch size", value=str(fitted.batch_size), reason=batch_reason),
    )


def _with_features(topology: Topology, overrides: Overrides, name: str) -> Topology:
    if "features" not in overrides:
        return topology
    features = tuple(int(width) for width in overrides["features"])
    if len(features) != len(topology.features):
        stages = len(topology.features)
        raise SpecError(f"{name}.features has {len(features)} entries", f"this patch has {stages} stages; give {stages}")
    return topology.model_copy(update={"features": features})


def _voxels(values: Sequence[float], dimensions: int, name: str) -> tuple[int, ...]:
    if len(values) != dimensions or min(values) < 1:
        raise SpecError(f"{name}.patch_size_voxels = {tuple(values)}", f"give {dimensions} positive whole numbers")
    return tuple(int(value) for value in values)
