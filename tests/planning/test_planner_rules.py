"""Overrides, normalisation, mirroring, decisions and comparison of plans."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autoseg.core.errors import SpecError
from autoseg.intensity import normalizers
from autoseg.planning.channels import explain, normalization, normalizations
from autoseg.planning.compare import changes
from autoseg.planning.methods import load_method
from autoseg.planning.mirroring import lateral_pair, mirror_axes
from autoseg.planning.planner import make_plan
from autoseg.specs.dataset import Dataset
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.method import PlanChoices
from autoseg.specs.plan import Plan

Make = Callable[..., Fingerprint]


def planned(make_fingerprint: Make, make_dataset: Callable[..., Dataset], *overrides: str) -> Plan:
    fingerprint = make_fingerprint((2.5, 0.8, 0.8), (120, 512, 512), orientation="RSA")
    return make_plan(make_dataset(("CT",)), fingerprint, load_method("nnunet", overrides))


def test_overrides_are_used_and_explained(make_fingerprint: Make, make_dataset: Callable[..., Dataset]) -> None:
    plan = planned(
        make_fingerprint,
        make_dataset,
        "plan.overrides.3d_fullres.patch_size_voxels=[30, 100, 100]",
        "plan.overrides.3d_fullres.batch_size=5",
        "plan.overrides.3d_fullres.features=[8, 16, 32, 64, 128, 128]",
        "plan.overrides.3d_lowres.spacing_mm=[5, 2, 2]",
    )
    full, low = plan.configuration("3d_fullres"), plan.configuration("3d_lowres")
    divisors = [2 ** sum(stride[axis] == 2 for stride in full.topology.strides) for axis in range(3)]
    assert all(edge % by == 0 for edge, by in zip(full.patch_size_voxels, divisors, strict=True))
    assert all(edge >= wanted for edge, wanted in zip(full.patch_size_voxels, (30, 100, 100), strict=True))
    assert full.batch_size == 5
    assert full.topology.features == (8, 16, 32, 64, 128, 128)[: len(full.topology.strides)]
    assert low.preprocessing.spacing_mm == (5, 2, 2)
    assert [one.reason for one in plan.decisions if one.topic == "3d_fullres batch size"] == ["set by the method"]


def test_spacing_is_overridden_before_the_transpose(
    make_fingerprint: Make, make_dataset: Callable[..., Dataset]
) -> None:
    plan = planned(make_fingerprint, make_dataset, "plan.overrides.3d_fullres.spacing_mm=[1, 1, 4]")
    preprocessing = plan.configuration("3d_fullres").preprocessing
    assert preprocessing.transpose == (2, 0, 1)
    assert preprocessing.spacing_mm == (4, 1, 1)
    assert plan.configuration("2d").preprocessing.native_axes == (0,)


def test_a_method_can_set_the_levels(make_fingerprint: Make, make_dataset: Callable[..., Dataset]) -> None:
    section = "plan.overrides.3d_fullres={ patch_size_voxels = [80, 90, 96], stages = 4 }"
    plan = planned(make_fingerprint, make_dataset, section)
    full = plan.configuration("3d_fullres")
    assert full.patch_size_voxels == (80, 96, 96)
    assert full.topology.strides == ((1, 1, 1), *((2, 2, 2),) * 3)
    assert set(full.topology.kernels) == {(3, 3, 3)}
    assert full.topology.features == (32, 64, 128, 256)
    (reason,) = (one.reason for one in plan.decisions if one.topic == "3d_fullres topology")
    assert reason.startswith("levels set by the method")


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ("[]", ["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]),
        ('["3d_fullres"]', ["3d_fullres"]),
        ('["3d_cascade_fullres"]', ["3d_lowres", "3d_cascade_fullres"]),
        ('["3d_roi_fullres", "2d"]', ["2d"]),
    ],
)
def test_a_method_can_name_its_configurations(
    wanted: str, kept: list[str], make_fingerprint: Make, make_dataset: Callable[..., Dataset]
) -> None:
    plan = planned(make_fingerprint, make_dataset, f"plan.configurations={wanted}")
    assert list(plan.configurations) == kept
    assert (plan.method_digest == load_method("nnunet").plan.digest()) == (wanted == "[]")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("plan.overrides.3d_fullress.batch_size=2", "did you mean '3d_fullres'"),
        ("plan.overrides.3d_fullres.batch=2", "did you mean 'batch_size'"),
        ("plan.overrides.3d_fullres.spacing_mm=[1, 1]", "give three positive numbers"),
        ("plan.overrides.3d_fullres.spacing_mm=[1, 1, 0]", "give three positive numbers"),
        ("plan.overrides.3d_fullres.patch_size_voxels=[64, 64]", "give 3 positive whole numbers"),
        ("plan.overrides.3d_fullres.features=[8, 16]", "give one per stage"),
        ("plan.overrides.3d_fullres.stages=2.5", "give one whole number, at least 2"),
        ("plan.overrides.3d_fullres.target_shape_voxels=[8, 8]", "give 3 whole numbers, z, y, x"),
        ("plan.overrides.2d.target_shape_voxels=[8, 8, 8]", "give 2 whole numbers, y, x"),
        ("plan.overrides.3d_fullres={ patch_size_voxels = [8, 8, 8], stages = 5 }", "at least 2 and at most 4"),
        ("plan.overrides.3d_fullres={ patch_size_voxels = [8, 8, 8], stages = 1 }", "at least 2 and at most 4"),
        ("plan.overrides.2d={ patch_size_voxels = [1, 1], stages = 2 }", "enlarge the patch"),
        ('plan.configurations=["3d"]', "did you mean '2d'"),
        ('plan.configurations=["3d_organ"]', "the data allow no 3d_organ: choose from 3d_fullres"),
    ],
)
def test_overrides_that_do_not_fit_are_refused(
    override: str, message: str, make_fingerprint: Make, make_dataset: Callable[..., Dataset]
) -> None:
    with pytest.raises(SpecError, match=message):
        planned(make_fingerprint, make_dataset, override)


def test_no_usable_case(make_fingerprint: Make, make_dataset: Callable[..., Dataset]) -> None:
    with pytest.raises(SpecError, match="no usable case"):
        make_plan(make_dataset(), make_fingerprint(cases=0), load_method("nnunet"))


def test_canonical_frame_reorders_shapes_and_spacings(
    make_fingerprint: Make, make_dataset: Callable[..., Dataset]
) -> None:
    fingerprint = make_fingerprint((0.8, 2.5, 0.7), (400, 100, 300), orientation="RIP")
    stored = make_plan(make_dataset(), fingerprint, load_method("nnunet"))
    turned = make_plan(make_dataset(), fingerprint, load_method("nnunet", ["plan.orientation=canonical"]))
    assert stored.configuration("3d_fullres").preprocessing.transpose == (1, 0, 2)
    assert turned.configuration("3d_fullres").preprocessing.transpose == (0, 1, 2)
    assert turned.configuration("3d_fullres").preprocessing.spacing_mm == (2.5, 0.7, 0.8)
    assert turned.configuration("3d_fullres").median_shape_voxels == (100, 300, 400)


def test_every_configuration_is_explained(make_fingerprint: Make, make_dataset: Callable[..., Dataset]) -> None:
    plan = planned(make_fingerprint, make_dataset)
    topics = [decision.topic for decision in plan.decisions]
    assert len(topics) == len(set(topics))
    for name in ("2d", "3d_fullres", "3d_lowres"):
        for part in ("patch size", "topology", "batch size"):
            assert f"{name} {part}" in topics
    assert all(decision.value and decision.reason for decision in plan.decisions)


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        ("CT", "ct_clip"),
        ("ct", "ct_clip"),
        ("noNorm", "none"),
        ("rescale_to_0_1", "rescale_to_0_1"),
        ("rgb_to_0_1", "rgb_to_0_1"),
        ("zscore", "zscore"),
        ("FLAIR", "zscore"),
    ],
)
def test_normaliser_by_channel_name(channel: str, name: str) -> None:
    assert normalization(channel).name == name
    assert name in normalizers.names()


def test_mask_only_for_z_scores_of_mostly_empty_images() -> None:
    assert normalizations(("MR", "CT"), 0.74)[1] == (True, False)
    assert normalizations(("MR", "CT"), 0.75)[1] == (False, False)


HU_WINDOW = Component(name="hu_window")


def test_a_method_chooses_the_normaliser() -> None:
    equalized = Component(name="chain")
    assert normalizations(("CT", "ct_portal"), 1, (equalized,))[0] == (equalized,) * 2
    assert normalizations(("CT", "FLAIR"), 1, (HU_WINDOW, Component(name="none")))[0][1].name == "none"
    masked = Component(name="chain", options={"steps": [{"name": "hist_equalize"}, {"name": "zscore"}]})
    assert normalizations(("T1", "T2"), 0.5, (masked,))[1] == (True, True)


@pytest.mark.parametrize("channel", ["MR", "T1ct", "FLAIR", "0000"])
@pytest.mark.parametrize("component", [HU_WINDOW, Component(name="chain")], ids=lambda one: one.name)
def test_a_window_of_hounsfield_units_is_for_ct(channel: str, component: Component) -> None:
    with pytest.raises(SpecError) as error:
        normalizations((channel,), 1, (component,))
    assert str(error.value).startswith(f"channel '{channel}' is not CT, which this method's normalisation (hu_window")
    assert "choose another method, or call the channel CT in dataset.json if it is" in str(error.value)


def test_normalisers_are_one_or_one_each() -> None:
    with pytest.raises(SpecError, match="names 2 normalisers for 3 channels: give one, or one each"):
        normalizations(("CT", "CT", "CT"), 1, (HU_WINDOW, HU_WINDOW))


def test_the_reason_says_who_chose() -> None:
    (decision,) = explain(("CT",), (Component(name="chain"),), (False,), 1, by_method=True)
    assert (decision.value, decision.reason) == ("hu_window, hist_equalize, rescale_to_0_1", "chosen by the method")


@pytest.mark.parametrize(
    ("labels", "pair"),
    [
        (("kidney_left", "kidney_right"), True),
        (("Left Lung", "Right Lung", "x"), True),
        (("femur_l", "femur_r"), True),
        (("left atrium", "aorta"), False),
        (("liver", "tumour"), False),
        (("kidney_left", "lung_right"), False),
    ],
)
def test_lateral_labels_are_found_by_name(labels: tuple[str, ...], pair: bool) -> None:
    assert (lateral_pair(labels) is not None) == pair


def test_left_right_is_not_mirrored_where_sides_are_told_apart() -> None:
    labels: dict[str, int | tuple[int, ...]] = {"kidney_left": 1, "kidney_right": 2}
    auto = PlanChoices(mirror_axes="auto")
    assert mirror_axes(auto, labels, ("SPL",), (0, 1, 2))[0] == (0, 1)
    assert mirror_axes(auto, labels, ("SPL",), (2, 0, 1))[0] == (1, 2)
    assert mirror_axes(auto, labels, ("SPL", "RAS"), (0, 1, 2))[0] == (1,)
    assert mirror_axes(auto, {"liver": 1}, ("SPL",), (0, 1, 2))[0] == (0, 1, 2)
    assert mirror_axes(PlanChoices(mirror_axes="all"), labels, ("SPL",), (0, 1, 2))[0] == (0, 1, 2)
    assert mirror_axes(PlanChoices(mirror_axes=(1,)), labels, ("SPL",), (0, 1, 2))[0] == (1,)


def test_changes_name_the_path(make_fingerprint: Make, make_dataset: Callable[..., Dataset]) -> None:
    old = planned(make_fingerprint, make_dataset)
    new = planned(make_fingerprint, make_dataset, "plan.overrides.2d.batch_size=3")
    assert changes(old, old) == ()
    assert changes(old, new) == (f"2d.batch_size: {old.configuration('2d').batch_size} -> 3",)
