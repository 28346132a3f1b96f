"""What the papers say is what is planned: sizes, widths, losses of the published methods for CT."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autoseg.core.errors import SpecError
from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.specs.dataset import Dataset
from autoseg.specs.fingerprint import Fingerprint, IntensityStatistics
from autoseg.specs.plan import Plan

Make = Callable[..., object]
LIVER = IntensityStatistics(
    mean=100, median=100, std=40, minimum=-90, maximum=300, percentile_00_5=0, percentile_99_5=200
)


@pytest.fixture
def planned(make_fingerprint: Make, make_dataset: Make) -> Callable[..., Plan]:
    """`planned(method, *overrides)` for 20 CT scans of 120 slices with a liver and tumours."""

    def plan(method: str, *overrides: str, labels: tuple[str, ...] = ("liver", "tumour")) -> Plan:
        made: Fingerprint = make_fingerprint((1.5, 0.75, 0.75), (120, 512, 512))
        voxels = {str(value): 400_000 // value for value in range(1, len(labels) + 1)}
        cases = tuple(case.model_copy(update={"label_voxels": voxels}) for case in made.cases)
        made = made.model_copy(update={"cases": cases, "intensities": (LIVER,)})
        dataset: Dataset = make_dataset(("CT",), labels)
        return make_plan(dataset, made, load_method(method, overrides))

    return plan


def test_resunet_cascade(planned: Callable[..., Plan]) -> None:
    plan = planned("resunet_cascade")
    liver, tumours = plan.configuration("2d_organ"), plan.configuration("2d_roi")
    for stage in (liver, tumours):
        assert stage.topology.features == (64, 128, 256, 512)
        assert stage.topology.encoder_blocks == (1, 1, 1, 1)
        assert (stage.network.name, stage.batch_size) == ("resunet", 8)
        assert stage.preprocessing.target_shape_voxels == (1, 256, 256)
    assert liver.preprocessing == tumours.preprocessing, "the cases are stored once"
    assert (liver.patch_size_voxels, tumours.patch_size_voxels) == ((256, 256), (192, 192))
    assert liver.labels == {"background": 0, "liver": (1, 2)}
    assert tumours.labels == {"background": 0, "tumour": 2}
    assert tumours.region is not None
    assert (tumours.region.source, tumours.region.blank_outside, tumours.region.input_channel) == (
        "reference",
        True,
        False,
    )
    assert plan.stages("2d_roi") == ("2d_organ", "2d_roi")


def test_an_organ_without_lesions_has_no_second_stage(planned: Callable[..., Plan]) -> None:
    with pytest.raises(SpecError, match=r'targets = "lesions": the organ has no other label in it: choose another'):
        planned("resunet_cascade", labels=("liver",))


@pytest.mark.parametrize(
    ("method", "loss", "network", "skip"),
    [
        ("unet_godc_lfam", "godc", "plain_unet", "aligned"),
        ("unet_godc", "godc", "plain_unet", "plain"),
        ("unet_lfam", "dice", "plain_unet", "aligned"),
        ("unet_dice", "dice", "plain_unet", "plain"),
        ("resunet_godc_lfam", "godc", "resunet", "aligned"),
    ],
)
def test_godc_lfam_and_its_ablations(
    method: str, loss: str, network: str, skip: str, planned: Callable[..., Plan]
) -> None:
    flat = planned(method).configuration("2d")
    chosen = load_method(method).train.loss
    assert chosen is not None
    assert (chosen.name, flat.network.name, flat.network.options["skip"]) == (loss, network, skip)
    assert flat.topology.features == (32, 64, 128, 256, 512)
    assert (flat.patch_size_voxels, flat.batch_size) == ((512, 512), 2), "whole slices"


def test_godc_lfam_in_3d(planned: Callable[..., Plan]) -> None:
    plan = planned("unet_godc_lfam", 'plan.configurations=["3d_fullres"]')
    assert plan.configuration("3d_fullres").topology.features == (32, 64, 128, 256, 512)


def test_unet3d_advanced_combo(planned: Callable[..., Plan]) -> None:
    (only,) = planned("unet3d_advanced_combo").configurations.values()
    assert only.preprocessing.target_shape_voxels == only.patch_size_voxels == (80, 160, 160)
    assert only.topology.features == (32, 64, 128, 256)
    assert only.topology.encoder_blocks == (2, 2, 2, 2)
    rule = only.preprocessing.resampling
    assert (rule.align, rule.image_order, rule.label_order) == ("corners", 1, 0)
    assert only.batch_size == 1


def test_unet2d_ircadb(planned: Callable[..., Plan]) -> None:
    (only,) = planned("unet2d_ircadb").configurations.values()
    assert only.patch_size_voxels == (256, 256)
    assert only.topology.features == (32, 64, 128, 256, 512)
    assert only.batch_size == 16


@pytest.mark.parametrize("method", ["resunet_cascade", "unet3d_advanced_combo", "unet2d_ircadb"])
def test_methods_for_ct_refuse_mr(method: str, make_fingerprint: Make, make_dataset: Make) -> None:
    with pytest.raises(SpecError, match=r"channel 'T2' is not CT.*choose another method"):
        make_plan(make_dataset(("T2",)), make_fingerprint(), load_method(method))
