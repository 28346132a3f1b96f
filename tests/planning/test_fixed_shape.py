"""Cases of one shape, and levels of a network that the method gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autoseg.core.errors import SpecError
from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.specs.plan import Plan

Make = Callable[..., object]


def planned(make_fingerprint: Make, make_dataset: Make, *overrides: str) -> Plan:
    fingerprint = make_fingerprint((0.8, 2.5, 0.7), (400, 100, 300))
    return make_plan(make_dataset(), fingerprint, load_method("nnunet", overrides))


def test_a_shape_is_given_before_the_transpose_and_is_the_patch(make_fingerprint: Make, make_dataset: Make) -> None:
    section = "plan.overrides.3d_fullres={ target_shape_voxels = [80, 160, 96], stages = 4, batch_size = 1 }"
    plan = planned(make_fingerprint, make_dataset, section)
    full = plan.configuration("3d_fullres")
    assert full.preprocessing.transpose == (1, 0, 2)
    assert full.preprocessing.target_shape_voxels == full.patch_size_voxels == full.median_shape_voxels == (160, 80, 96)
    assert not full.preprocessing.crop_to_nonzero
    assert full.batch_size == 1
    assert len(full.topology.strides) == 4
    assert "3d_lowres" not in plan.configurations
    (reason,) = (one.reason for one in plan.decisions if one.topic == "3d_lowres")
    assert reason == "the method gives all cases one shape"
    assert plan.configuration("2d").preprocessing.target_shape_voxels is None


def test_slices_keep_their_number(make_fingerprint: Make, make_dataset: Make) -> None:
    plan = planned(make_fingerprint, make_dataset, "plan.overrides.2d.target_shape_voxels=[256, 192]")
    flat = plan.configuration("2d")
    assert flat.preprocessing.target_shape_voxels == (1, 256, 192)
    assert flat.preprocessing.native_axes == (0,)
    assert flat.patch_size_voxels == (256, 192)
    assert flat.median_shape_voxels == (100, 256, 192)


def test_a_part_of_the_shape_may_be_the_patch(make_fingerprint: Make, make_dataset: Make) -> None:
    section = "plan.overrides.2d={ target_shape_voxels = [256, 256], patch_size_voxels = [128, 100], stages = 3 }"
    flat = planned(make_fingerprint, make_dataset, section).configuration("2d")
    assert flat.patch_size_voxels == (128, 100)


def test_given_levels_hold_while_the_patch_shrinks(make_fingerprint: Make, make_dataset: Make) -> None:
    few = "plan.reference_elements=[1000000, 20000000]"
    plan = planned(make_fingerprint, make_dataset, "plan.overrides.3d_fullres.stages=4", few)
    full = plan.configuration("3d_fullres")
    assert len(full.topology.strides) == 4
    assert set(full.topology.strides[1:]) == {(2, 2, 2)}
    assert all(edge % 8 == 0 for edge in full.patch_size_voxels)
    assert max(full.patch_size_voxels) < 256


def test_a_shape_and_a_fixed_crop_exclude_each_other(make_fingerprint: Make, make_dataset: Make) -> None:
    both = ("plan.overrides.2d.target_shape_voxels=[64, 64]", "plan.fixed_size_voxels=[500, 500, 500]")
    with pytest.raises(SpecError, match=r"2d.target_shape_voxels beside plan.fixed_size_voxels: leave one of them out"):
        planned(make_fingerprint, make_dataset, *both)


def test_the_method_chooses_the_resampling(make_fingerprint: Make, make_dataset: Make) -> None:
    usual = planned(make_fingerprint, make_dataset).configuration("2d").preprocessing.resampling
    chosen = planned(make_fingerprint, make_dataset, 'plan.resampling={ image_order = 1, align = "corners" }')
    rule = chosen.configuration("2d").preprocessing.resampling
    assert (usual.image_order, usual.align) == (3, "edges")
    assert (rule.image_order, rule.align, rule.label_order) == (1, "corners", 1)
