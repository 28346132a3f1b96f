"""What one training step may cost: nnU-Net v2's element counts, a GPU's memory, or a CPU's time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autoseg.devices.budget import DeviceBudget
from autoseg.networks._cost import Cost
from autoseg.planning.topology import Pooling, shrink
from autoseg.specs.method import PlanChoices
from autoseg.specs.plan import Decision, Topology

MINIMUM_BATCH = 2
"""Smallest batch (nnU-Net v2)."""

TRAINING_PER_FORWARD = 3
"""Operations of a training step per forward pass: the backward pass computes two products for each of the forward's."""

Measure = Callable[[Pooling, int], tuple[Topology, Cost]]
"""Topology and cost of one patch for a base width."""


@dataclass(frozen=True)
class Budget:
    """Limits of one training step.

    Attributes:
        elements: Feature-map elements at the reference batch, in 2D and 3D.
        reference_batch: In 2D and 3D.
        at_minimum_batch: The limit holds at batch 2 instead of at the reference batch.
        batch_share_of_dataset: Largest share of the data set's voxels in one batch.
        operations: Forward operations per step on a CPU; None where memory is the limit.
        decision: Where the limits come from.
    """

    elements: tuple[float, float]
    reference_batch: tuple[int, int]
    at_minimum_batch: bool
    batch_share_of_dataset: float
    operations: float | None
    decision: Decision


@dataclass(frozen=True)
class Fit:
    """A patch that fits, with the topology it got.

    Attributes:
        pooling: Patch, strides, kernels.
        topology: With channels per stage.
        cost: Of one patch.
        batch_size: Patches per step.
        patch_reason: How the patch came about.
        batch_reason: How the batch came about.
    """

    pooling: Pooling
    topology: Topology
    cost: Cost
    batch_size: int
    patch_reason: str
    batch_reason: str


def budget_for(choices: PlanChoices, device: DeviceBudget | None) -> Budget:
    """Limits by the method's choice; without a device the reference holds as it is."""
    scale, operations = 1.0, None
    value, reason = f"{choices.reference_elements[1] / 1e6:g} million elements in 3D", "fixed by the method"
    if choices.budget == "device" and device is not None and device.kind == "gpu":
        memory = min(device.memory_gb * choices.share_of_memory, choices.largest_memory_gb)
        scale = memory / choices.reference_memory_gb
        value = f"{memory:.1f} GB"
        reason = f"{device.description}; {choices.share_of_memory:.0%} of it, at most {choices.largest_memory_gb:g} GB"
    elif choices.budget == "device" and device is not None:
        operations = choices.seconds_per_step * device.gflops * 1e9 / TRAINING_PER_FORWARD
        value = f"{choices.seconds_per_step:g} s per step"
        reason = f"{device.description}; so {operations / 1e9:.1f} forward GFLOP per step"
    return Budget(
        elements=(choices.reference_elements[0] * scale, choices.reference_elements[1] * scale),
        reference_batch=choices.reference_batch,
        at_minimum_batch=choices.budget_at_minimum_batch,
        batch_share_of_dataset=choices.batch_share_of_dataset,
        operations=operations,
        decision=Decision(topic="budget", value=value, reason=reason),
    )


def fit_elements(
    start: Pooling,
    spacing_mm: Sequence[float],
    median_shape_voxels: Sequence[float],
    *,
    measure: Measure,
    base_features: int,
    budget: Budget,
    dataset_voxels: float,
) -> Fit:
    """Shrink the patch until its elements fit, then fill the budget with the batch (nnU-Net v2).

    Raises:
        BudgetError: When even a patch of a few voxels is too large.
    """
    pooling, steps = start, 0
    topology, price = measure(pooling, base_features)
    while not _elements_fit(price, pooling, budget):
        pooling = shrink(spacing_mm, pooling, median_shape_voxels)
        topology, price = measure(pooling, base_features)
        steps += 1
    batch, reason = batch_for_elements(price, pooling.patch_size_voxels, budget, dataset_voxels)
    why = f"reduced {steps} times until the feature maps fit" if steps else "the whole start fits"
    return Fit(pooling, topology, price, batch, why, reason)


def batch_for_elements(
    price: Cost, patch_size_voxels: Sequence[int], budget: Budget, dataset_voxels: float
) -> tuple[int, str]:
    """Batch by elements, capped by the share of the data set in one batch, at least 2; and the reason.

    Source: nnU-Net v2; halves round to even as Python's `round`.
    """
    dimensions = len(patch_size_voxels)
    by_elements = round(budget.elements[dimensions - 2] / price.elements * budget.reference_batch[dimensions - 2])
    cap = dataset_cap(patch_size_voxels, budget, dataset_voxels)
    reason = (
        f"{price.elements / 1e6:.1f} million elements per patch allow {by_elements}; "
        f"{budget.batch_share_of_dataset:.0%} of the data set would be {cap}; at least {MINIMUM_BATCH}"
    )
    return max(min(by_elements, cap), MINIMUM_BATCH), reason


def dataset_cap(patch_size_voxels: Sequence[int], budget: Budget, dataset_voxels: float) -> int:
    """Patches that make up the allowed share of the data set."""
    return round(dataset_voxels * budget.batch_share_of_dataset / math.prod(patch_size_voxels))


def _elements_fit(price: Cost, pooling: Pooling, budget: Budget) -> bool:
    dimensions = len(pooling.divisors)
    elements: float = price.elements
    if budget.at_minimum_batch:
        elements = elements / budget.reference_batch[dimensions - 2] * MINIMUM_BATCH
    return elements <= budget.elements[dimensions - 2]
