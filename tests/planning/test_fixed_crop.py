"""One box for all cases: where it lies, and when it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autoseg.core.errors import SpecError
from autoseg.imageops.crop import box_bounds, centred_box
from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.specs.fingerprint import CaseFingerprint, Fingerprint
from autoseg.specs.plan import FixedCrop, Plan, Preprocessing

WHOLE = (155, 240, 240)
Box = tuple[tuple[int, int, int], tuple[int, int, int]]


def turned(box: Box, shape: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Box:
    """The same voxels after axes are reversed."""
    pairs = [
        (size - stop, size - start) if flip else (start, stop)
        for start, stop, size, flip in zip(*box, shape, flips, strict=True)
    ]
    (a, b), (c, d), (e, f) = pairs
    return (a, c, e), (b, d, f)


@pytest.fixture
def plan_of(make_fingerprint: Callable[..., Fingerprint], make_dataset: Callable[..., Any]) -> Callable[..., Plan]:
    """`plan_of((start, stop), ..., codes=...)`: a plan of cases with these non-zero boxes, in canonical voxels."""

    def make(*boxes: Box, codes: tuple[str, ...] = (), overrides: tuple[str, ...] = (), known: bool = True) -> Plan:
        spacing = (1.0, 1.0, 1.0)
        base = make_fingerprint(spacing, WHOLE, cases=len(boxes))
        cases: list[CaseFingerprint] = []
        for case, box, code in zip(base.cases, boxes, codes or ("SPL",) * len(boxes), strict=True):
            flips = tuple(letter != usual for letter, usual in zip(code, "SPL", strict=True))
            start, stop = turned(box, WHOLE, (flips[0], flips[1], flips[2]))
            size = tuple(last - first for first, last in zip(start, stop, strict=True))
            update = {"cropped_start_voxels": start if known else None, "cropped_shape_voxels": size}
            cases.append(case.model_copy(update={**update, "orientation": code}))
        fingerprint = base.model_copy(update={"cases": tuple(cases)})
        return make_plan(make_dataset(("T1",)), fingerprint, load_method("brats_minicube", overrides))

    return make


def crop_of(plan: Plan) -> FixedCrop:
    crop = plan.configuration("3d_fullres").preprocessing.fixed_crop
    assert crop is not None
    return crop


def placed(plan: Plan) -> Box:
    crop = crop_of(plan)
    return box_bounds(centred_box(WHOLE, crop.size_voxels, crop.centre_mm))


TWO = (((3, 40, 50), (150, 200, 180)), ((0, 30, 60), (140, 210, 190)))


def test_the_box_lies_around_the_union_and_keeps_short_axes_whole(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(*TWO)
    assert crop_of(plan).size_voxels == (160, 192, 192)
    # The union is rows 30 to 210 and columns 50 to 190; all slices stay.
    assert placed(plan) == ((0, 24, 24), (155, 216, 216))
    assert plan.configuration("3d_fullres").median_shape_voxels == (155, 192, 192)
    (decision,) = (one for one in plan.decisions if one.topic == "fixed crop")
    assert "spans 150 x 180 x 140 voxels" in decision.reason


@pytest.mark.parametrize("code", ["IPL", "SAR", "IAR"])
def test_files_of_other_directions_have_the_same_box(plan_of: Callable[..., Plan], code: str) -> None:
    assert crop_of(plan_of(*TWO, codes=("SPL", code))) == crop_of(plan_of(*TWO))


def test_stored_axes_are_not_turned(plan_of: Callable[..., Plan]) -> None:
    as_stored = ("plan.orientation=as_stored",)
    flipped = plan_of(TWO[0], codes=("SAL",), overrides=as_stored)
    assert crop_of(flipped).centre_mm[1] == -crop_of(plan_of(TWO[0])).centre_mm[1] == pytest.approx(0.0)
    left = plan_of(((0, 20, 50), (155, 100, 190)), codes=("SAL",), overrides=as_stored)
    assert crop_of(left).centre_mm[1] == pytest.approx(60.0)


def test_up_to_a_tenth_may_be_cut_off(plan_of: Callable[..., Plan]) -> None:
    assert placed(plan_of(((0, 10, 20), (155, 220, 230))))[0][1:] == (19, 29)
    with pytest.raises(SpecError, match=r"would cut 20% off along y: .* spans 155 x 240 x 150 voxels"):
        plan_of(((0, 0, 20), (155, 240, 170)))
    with pytest.raises(SpecError, match="would cut 100% off along z"):
        plan_of(*TWO, overrides=("plan.fixed_size_voxels=[0, 192, 192]",))


def test_old_fingerprints_do_not_say_where(plan_of: Callable[..., Plan]) -> None:
    with pytest.raises(SpecError, match="run autoseg fingerprint again"):
        plan_of(*TWO, known=False)


def test_what_came_later_leaves_digests_alone(make_fingerprint: Callable[..., Fingerprint]) -> None:
    fingerprint = make_fingerprint(cases=2)
    noted = [case.model_copy(update={"cropped_start_voxels": (1, 2, 3)}) for case in fingerprint.cases]
    assert fingerprint.model_copy(update={"cases": tuple(noted)}).digest() == fingerprint.digest()
    assert "fixed_crop" not in Preprocessing.model_construct(fixed_crop=None).model_dump()


@pytest.mark.parametrize(("centre", "start"), [(0.0, 3), (-9.0, 0), (9.0, 6), (1.4, 4)])
def test_a_box_is_moved_inside_of_the_volume(centre: float, start: int) -> None:
    box = centred_box((10, 10, 10), (4, 10, 12), (centre, 5.0, -5.0))
    assert box_bounds(box) == ((start, 0, 0), (start + 4, 10, 10))
    assert all(isinstance(value, int) for value in np.ravel(box_bounds(box)).tolist())
