"""Plans for GPUs of any memory and CPUs of any speed stay within their budget."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoseg.core.errors import BudgetError
from autoseg.devices.budget import DeviceBudget
from autoseg.networks import cost
from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.specs.dataset import Dataset
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.plan import Configuration

GPU = DeviceBudget("gpu", memory_gb=12.0, description="made up")
LAPTOP = DeviceBudget("cpu", gflops=400.0, description="made up")
QUICK = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


def price(configuration: Configuration) -> tuple[int, int]:
    """(elements, flops) of one patch."""
    found = cost(
        configuration.network.name,
        configuration.network.options,
        topology=configuration.topology,
        patch_size_voxels=configuration.patch_size_voxels,
        channels=1,
        heads=3,
    )
    return found.elements, found.flops


@QUICK
@given(
    spacing=st.lists(st.floats(0.4, 6.0), min_size=3, max_size=3),
    shape=st.lists(st.integers(8, 500), min_size=3, max_size=3),
    gflops=st.floats(50.0, 5000.0),
)
def test_cpu_plans_fit_their_time(
    spacing: list[float],
    shape: list[int],
    gflops: float,
    make_fingerprint: Callable[..., Fingerprint],
    make_dataset: Callable[..., Dataset],
) -> None:
    method = load_method("autoseg")
    device = DeviceBudget("cpu", gflops=gflops)
    plan = make_plan(make_dataset(), make_fingerprint(spacing, shape), method, device=device)
    for configuration in plan.configurations.values():
        seconds = 3 * price(configuration)[1] * configuration.batch_size / gflops / 1e9
        assert seconds <= method.plan.seconds_per_step * (1 + 1e-9)
        assert configuration.batch_size >= 2
        divisors = [math.prod(column) for column in zip(*configuration.topology.strides, strict=True)]
        assert all(edge % by == 0 for edge, by in zip(configuration.patch_size_voxels, divisors, strict=True))


@QUICK
@given(
    spacing=st.lists(st.floats(0.4, 6.0), min_size=3, max_size=3),
    shape=st.lists(st.integers(8, 500), min_size=3, max_size=3),
    memory=st.floats(4.0, 100.0),
)
def test_gpu_plans_fit_their_memory(
    spacing: list[float],
    shape: list[int],
    memory: float,
    make_fingerprint: Callable[..., Fingerprint],
    make_dataset: Callable[..., Dataset],
) -> None:
    choices = load_method("autoseg").plan
    device = DeviceBudget("gpu", memory_gb=memory)
    plan = make_plan(make_dataset(), make_fingerprint(spacing, shape), load_method("autoseg"), device=device)
    scale = min(memory * choices.share_of_memory, choices.largest_memory_gb) / choices.reference_memory_gb
    for configuration in plan.configurations.values():
        reference = choices.reference_elements[configuration.dimensions - 2] * scale
        assert price(configuration)[0] <= reference


def test_more_memory_never_shrinks_the_patch(
    make_fingerprint: Callable[..., Fingerprint], make_dataset: Callable[..., Dataset]
) -> None:
    fingerprint, method = make_fingerprint((1, 1, 1), (300, 300, 300)), load_method("autoseg")
    voxels = []
    for memory in (6.0, 12.0, 24.0):
        device = DeviceBudget("gpu", memory_gb=memory)
        plan = make_plan(make_dataset(), fingerprint, method, device=device)
        voxels.append(math.prod(plan.configuration("3d_fullres").patch_size_voxels))
    assert voxels == sorted(voxels)
    assert voxels[0] < voxels[-1]


def test_hippocampus_on_a_laptop(
    make_fingerprint: Callable[..., Fingerprint], make_dataset: Callable[..., Dataset]
) -> None:
    plan = make_plan(make_dataset(), make_fingerprint(cases=200), load_method("autoseg"), device=LAPTOP)
    found = plan.configuration("3d_fullres")
    assert found.patch_size_voxels == (40, 56, 40)
    assert (found.network.name, found.network.options["fold"]) == ("folded_unet", (2, 2, 2))
    assert found.topology.features == (32, 64, 128)
    assert found.topology.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2))
    assert found.batch_size == 2
    assert plan.mirror_axes == (0, 1, 2)
    (decision,) = (one for one in plan.decisions if one.topic == "budget")
    assert decision.value == "0.5 s per step"
    assert "made up" in decision.reason


def test_widths_scale_with_their_cap(
    make_fingerprint: Callable[..., Fingerprint], make_dataset: Callable[..., Dataset]
) -> None:
    plan = make_plan(make_dataset(), make_fingerprint(shape=(200, 200, 200)), load_method("autoseg"), device=LAPTOP)
    features = plan.configuration("3d_fullres").topology.features
    assert max(features) <= 320 * features[0] // 32


def test_fixed_budget_ignores_the_device(
    make_fingerprint: Callable[..., Fingerprint], make_dataset: Callable[..., Dataset]
) -> None:
    plans = [
        make_plan(make_dataset(), make_fingerprint(), load_method("nnunet"), device=device)
        for device in (None, GPU, LAPTOP)
    ]
    assert plans[0] == plans[1] == plans[2]


def test_a_hopeless_budget_says_so(
    make_fingerprint: Callable[..., Fingerprint], make_dataset: Callable[..., Dataset]
) -> None:
    method = load_method("autoseg", ["plan.seconds_per_step=1e-9"])
    with pytest.raises(BudgetError, match="no patch fits"):
        make_plan(make_dataset(), make_fingerprint(), method, device=LAPTOP)


def test_a_given_patch_keeps_to_the_time_on_a_cpu(
    make_fingerprint: Callable[..., Fingerprint], make_dataset: Callable[..., Dataset]
) -> None:
    method = load_method("autoseg", ("plan.overrides.3d_fullres.patch_size_voxels=[32, 32, 32]",))
    plan = make_plan(make_dataset(), make_fingerprint(cases=200), method, device=LAPTOP)
    found = plan.configuration("3d_fullres")
    assert found.patch_size_voxels == (32, 32, 32)
    assert found.batch_size == 2
    assert found.topology.features[0] == 32
    large = load_method("autoseg", ("plan.overrides.3d_fullres.patch_size_voxels=[512, 512, 512]",))
    thinnest = make_plan(make_dataset(), make_fingerprint(cases=200), large, device=LAPTOP)
    assert thinnest.configuration("3d_fullres").topology.features[0] == min(large.plan.cpu.features)
