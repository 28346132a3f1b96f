"""Feature maps too shallow for bfloat16 on a CPU are named in the plan."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.planning.precision import float32_stages
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.plan import Configuration, Plan

Make = Callable[..., object]
PATCH = "plan.overrides.3d_fullres={{ patch_size_voxels = [{}, 48, 48], stages = 4, batch_size = 2 }}"


@pytest.fixture
def planned(make_fingerprint: Make, make_dataset: Make) -> Callable[..., Plan]:
    def plan(*overrides: str) -> Plan:
        fingerprint: Fingerprint = make_fingerprint((1.0, 1.0, 1.0), (64, 64, 64))
        return make_plan(make_dataset(), fingerprint, load_method("nnunet", overrides))

    return plan


def said(plan: Plan) -> list[tuple[str, str]]:
    return [(one.value, one.reason) for one in plan.decisions if one.topic.endswith("precision")]


@pytest.mark.parametrize(("slices", "stages"), [(8, ["2"]), (16, ["3"]), (24, []), (32, [])])
def test_stages_of_two_slices_are_named(planned: Callable[..., Plan], slices: int, stages: list[str]) -> None:
    found = said(planned(PATCH.format(slices)))
    assert [value for value, _ in found] == [f"float32 on a CPU in stage {stage}" for stage in stages]
    assert all("feature maps of 2 slices" in reason for _, reason in found)


def test_context_and_folding_count(planned: Callable[..., Plan]) -> None:
    one = planned(PATCH.format(16)).configuration("3d_fullres")
    assert stages(one) == ["float32 on a CPU in stage 3"]
    context = one.network.model_copy(update={"options": {"context_voxels": (4, 4, 4)}})
    assert stages(one.model_copy(update={"network": context})) == [], "24 slices are seen"
    folded = {"fold": (2, 2, 2), "network": "plain_unet", "options": {}}
    network = one.network.model_copy(update={"name": "folded_unet", "options": folded})
    assert stages(one.model_copy(update={"network": network})) == ["float32 on a CPU in stage 2"]


def test_slices_of_2d_networks_are_no_depth(planned: Callable[..., Plan]) -> None:
    assert float32_stages([planned().configuration("2d")]) == ()


def stages(configuration: Configuration) -> list[str]:
    return [one.value for one in float32_stages([configuration])]
