"""Patch and batch that fit a budget: nnU-Net v2's element counts, or a device's memory or speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autoseg.core.errors import BudgetError
from autoseg.planning.topology import Pooling, shrink
from autoseg.networks import cost
from autoseg.networks._cost import Cost
from autoseg.planning.topology import cut, features_per_stage
from autoseg.specs.method import PlanChoices
from autoseg.specs.plan import Topology

MINIMUM_BATCH = 2
"""Smallest batch (nnU-Net v2)."""


@dataclass(frozen=True)
class Heads:
    """Ends of the network: input channels, and outputs counted as labels including background (and ignore)."""

    channels: int
    outputs: int


@dataclass(frozen=True)
class Fit:
    """A patch that fits, with the topology it got.

    Attributes:
        pooling: Patch, strides, kernels.
        topology: With channels per stage.
        cost: Of one patch.
        steps: How often the patch was reduced.
    """

    pooling: Pooling
    topology: Topology
    cost: Cost
    steps: int


def topology_of(pooling: Pooling, choices: PlanChoices, base_features: int) -> Topology:
    """Widths and block counts of a pooling scheme."""
    cap = choices.max_features[len(pooling.divisors) - 2]
    return Topology(
        features=features_per_stage(base_features, cap, pooling.stages),
        strides=pooling.strides,
        kernels=pooling.kernels,
        encoder_blocks=cut(choices.encoder_blocks, pooling.stages),
        decoder_blocks=(choices.decoder_blocks,) * (pooling.stages - 1),
    )


def patch_cost(pooling: Pooling, topology: Topology, choices: PlanChoices, heads: Heads) -> Cost:
    """Cost of one patch of the chosen network."""
    return cost(
        choices.network.name,
        choices.network.options,
        topology=topology,
        patch_size_voxels=pooling.patch_size_voxels,
        channels=heads.channels,
        heads=heads.outputs,
    )


def fit_patch(
    pooling: Pooling,
    spacing_mm: Sequence[float],
    median_shape_voxels: Sequence[float],
    *,
    measure: Callable[[Pooling], tuple[Topology, Cost]],
    fits: Callable[[Cost], bool],
) -> Fit:
    """Shrink the patch until `fits` says yes.

    Raises:
        BudgetError: When even a patch of a few voxels is too large.
    """
    steps = 0
    topology, price = measure(pooling)
    while not fits(price):
        pooling = shrink(spacing_mm, pooling, median_shape_voxels)
        if min(pooling.patch_size_voxels) < 1:
            raise BudgetError("no patch fits the budget of the plan", "raise reference_elements or seconds_per_step")
        topology, price = measure(pooling)
        steps += 1
    return Fit(pooling, topology, price, steps)


def fits_elements(choices: PlanChoices, dimensions: int) -> Callable[[Cost], bool]:
    """Whether a patch's element count is within the reference: at batch 2, or at the reference batch itself."""
    reference, reference_batch = _reference(choices, dimensions)
    if choices.budget_at_minimum_batch:
        return lambda price: price.elements / reference_batch * MINIMUM_BATCH <= reference
    return lambda price: price.elements <= reference


def batch_for_elements(
    choices: PlanChoices, price: Cost, patch_size_voxels: Sequence[int], dataset_voxels: float
) -> tuple[int, int]:
    """Batch by the element budget, and the cap by the share of the data set in one batch; the batch is at least 2.

    Source: nnU-Net v2; halves round to even as Python's `round`.
    """
    reference, reference_batch = _reference(choices, len(patch_size_voxels))
    by_budget = round(reference / price.elements * reference_batch)
    by_dataset = round(dataset_voxels * choices.batch_share_of_dataset / math.prod(patch_size_voxels))
    return max(min(by_budget, by_dataset), MINIMUM_BATCH), by_dataset


def _reference(choices: PlanChoices, dimensions: int) -> tuple[int, int]:
    return choices.reference_elements[dimensions - 2], choices.reference_batch[dimensions - 2]
