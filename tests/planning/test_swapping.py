"""Labels in left-right pairs change places under mirroring, where that is possible and asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autoseg.planning.compare import changes
from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.planning.swapping import all_pairs, named_pairs
from autoseg.specs.dataset import Dataset, Provenance
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.laterality import Laterality
from autoseg.specs.method import PlanChoices
from autoseg.specs.plan import Plan

Make = Callable[..., object]
KIDNEYS = ("liver", "kidney_left", "kidney_right")
SWAP = "plan.laterality=swap"


@pytest.fixture
def planned(make_fingerprint: Make, make_dataset: Make) -> Callable[..., Plan]:
    """`planned(*overrides, labels=..., orientations=..., **fields of the data set)`."""

    def plan(
        *overrides: str,
        labels: tuple[str, ...] | dict[str, Any] = KIDNEYS,
        orientations: tuple[str, ...] = ("SPL",),
        **fields: Any,
    ) -> Plan:
        made: Fingerprint = make_fingerprint()
        cases = [
            case.model_copy(update={"orientation": orientations[index % len(orientations)]})
            for index, case in enumerate(made.cases)
        ]
        named = labels if isinstance(labels, tuple) else ("a",)
        dataset: Dataset = make_dataset(labels=named)
        if isinstance(labels, dict):
            fields = {**fields, "labels": labels}
        made = made.model_copy(update={"cases": tuple(cases)})
        return make_plan(dataset.model_copy(update=fields), made, load_method("nnunet", overrides))

    return plan


def reason(plan: Plan) -> str:
    (found,) = (one.reason for one in plan.decisions if one.topic == "mirroring")
    return found


def test_pairs_by_name() -> None:
    assert list(named_pairs(KIDNEYS)) == [("kidney_left", "kidney_right")]
    assert list(named_pairs(("femur_l", "lung_right", "lung_left", "femur_r"))) == [
        ("femur_l", "femur_r"),
        ("lung_left", "lung_right"),
    ]
    assert all_pairs({"background": 0, "a left": 1, "a right": 2}, ()) == (("a left", "a right"),)


def test_swap_mirrors_all_axes(planned: Callable[..., Plan]) -> None:
    plan = planned(SWAP, "plan.mirror_axes=auto")
    assert plan.mirror_axes == (0, 1, 2)
    assert plan.laterality == Laterality(axis=2, pairs=((2, 3),))
    assert (
        reason(plan) == "'kidney_left' and 'kidney_right' change places where axis 2, which is left-right, is mirrored"
    )


def test_drop_is_the_default(planned: Callable[..., Plan]) -> None:
    plan = planned("plan.mirror_axes=auto")
    assert (plan.mirror_axes, plan.laterality) == ((0, 1), None)
    assert "laterality" not in plan.to_json()
    swapping = planned(SWAP, "plan.mirror_axes=auto")
    assert changes(plan, swapping)
    assert Plan.parse(swapping.model_dump(mode="json"), "plan") == swapping


def test_methods_without_it_keep_their_digest() -> None:
    assert "laterality" not in PlanChoices().model_dump(mode="json")
    assert PlanChoices(laterality="swap").digest() != PlanChoices().digest()


def test_the_axis_is_that_after_the_transpose(planned: Callable[..., Plan]) -> None:
    plan = planned(SWAP, orientations=("SLP", "SRP"))
    assert plan.laterality == Laterality(axis=1, pairs=((2, 3),)), "left-right may point either way"


def test_axes_of_the_method_count(planned: Callable[..., Plan]) -> None:
    plan = planned(SWAP, "plan.mirror_axes=[0, 1]")
    assert (plan.mirror_axes, plan.laterality) == ((0, 1), None)
    assert planned(SWAP, "plan.mirror_axes=[2]").laterality is not None
    assert planned(SWAP, labels=("liver", "spleen")).laterality is None


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"orientations": ("SPL", "SLP")}, "left-right is not the same axis in all cases"),
        ({"labels": (*KIDNEYS, "lung_middle_right")}, "'lung_middle_right' has no counterpart"),
        ({"labels": ("a_l_left", "a_r_left", "a_l_right")}, "a label belongs to two pairs"),
        (
            {"provenance": {"case_000": Provenance(annotated=("liver", "kidney_left"))}},
            "case_000 annotates one side only",
        ),
        (
            {
                "labels": {"background": 0, "side left": (1, 2), "side right": (3, 4), "core": (2, 3, 4)},
                "regions_class_order": (1, 3, 2),
            },
            "2d has an output or input for one side only",
        ),
    ],
)
def test_what_cannot_change_places_is_not_mirrored(
    planned: Callable[..., Plan], settings: dict[str, Any], why: str
) -> None:
    plan = planned(SWAP, "plan.mirror_axes=auto", **settings)
    assert plan.laterality is None
    assert 2 not in plan.mirror_axes
    assert reason(plan).endswith(f"pairs cannot be exchanged instead, as {why}")


def test_regions_change_places(planned: Callable[..., Plan]) -> None:
    labels = {"background": 0, "both": (1, 2, 3, 4), "side left": (1, 2), "side right": (3, 4)}
    plan = planned(SWAP, labels=labels, regions_class_order=(1, 1, 3))
    assert plan.laterality == Laterality(axis=2, pairs=((1, 3), (2, 4)))


def test_annotations_of_both_sides_or_none_are_fine(planned: Callable[..., Plan]) -> None:
    origin = {"case_000": Provenance(annotated=("liver",)), "case_001": Provenance(annotated=KIDNEYS[1:])}
    assert planned(SWAP, provenance=origin).laterality is not None
