"""Both stages of a region-of-interest cascade come out of the data, with reasons."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace
from autoseg.devices.budget import DeviceBudget
from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.planning.region import LEAST_ORGAN_VOXELS, ORGAN, ROI, OrganFacts
from autoseg.specs.method import Method
from autoseg.specs.plan import Plan, Region

CPU = DeviceBudget(kind="cpu", description="a test machine", gflops=400.0)
GPU = DeviceBudget(kind="gpu", description="a test GPU", memory_gb=8.0)
LIVER, TUMOUR = 1_200_000, 30_000
NAMES = ("liver", "tumour")


def plan_of(
    make_fingerprint, make_dataset, *, counts=((LIVER, TUMOUR),), facts=None, names=NAMES, region=None, device=CPU
):
    """Plan of abdomens of 300 x 400 x 400 mm at 1.6 x 1 x 1 mm, whose cases take the counts in turn."""
    fingerprint = make_fingerprint((1.6, 1.0, 1.0), (188, 400, 400), cases=10)
    cases = [
        case.model_copy(update={"label_voxels": {str(value + 1): n for value, n in enumerate(counts[i % len(counts)])}})
        for i, case in enumerate(fingerprint.cases)
    ]
    fingerprint = fingerprint.model_copy(update={"cases": tuple(cases)})
    method = load_method("liver_tumor_cascade")
    chosen = method.plan.region.model_copy(update=region or {})
    method = method.model_copy(update={"plan": method.plan.model_copy(update={"region": chosen})})
    facts = OrganFacts(((210.0, 180.0, 200.0),) * 3) if facts is None else facts
    return make_plan(make_dataset(("CT",), names), fingerprint, method, device=device, organ=facts)


def reason(plan: Plan, topic: str) -> str:
    return next(f"{one.value}; {one.reason}" for one in plan.decisions if one.topic == topic)


def test_two_stages_are_planned(make_fingerprint, make_dataset) -> None:
    plan = plan_of(make_fingerprint, make_dataset)
    assert tuple(plan.configurations) == (ORGAN, ROI)
    organ, roi = plan.configurations.values()
    assert organ.labels == {"background": 0, "liver": (1, 2)}
    space = organ.label_space(plan.labels, plan.regions_class_order)
    assert (space.heads, space.head_values, space.is_regions) == (1, (1,), True)
    assert roi.label_space(plan.labels, plan.regions_class_order).heads == 3
    assert roi.previous_stage == ORGAN
    assert roi.input_channels(1, roi.label_space(plan.labels, None)) == 2
    assert roi.preprocessing.spacing_mm == (1.6, 1.0, 1.0)
    assert Plan.parse(json.loads(plan.to_json()), "plan").to_json() == plan.to_json()


def test_the_first_grid_is_coarse_but_shows_the_organ(make_fingerprint, make_dataset) -> None:
    plan = plan_of(make_fingerprint, make_dataset)
    organ = plan.configurations[ORGAN]
    spacing = np.array(organ.preprocessing.spacing_mm)
    diameter = (6 * (LIVER + TUMOUR) * 1.6 / math.pi) ** (1 / 3)
    assert diameter / np.prod(spacing) ** (1 / 3) >= LEAST_ORGAN_VOXELS
    assert max(spacing) / min(spacing) < 2
    windows = np.array(organ.median_shape_voxels) / organ.patch_size_voxels
    assert (windows <= 1.5).all()
    assert np.prod(spacing) / 1.6 >= 8
    assert organ.topology.features[0] <= 16


def test_a_small_organ_keeps_the_grid_fine(make_fingerprint, make_dataset) -> None:
    plan = plan_of(make_fingerprint, make_dataset, counts=((10_000, 100),))
    diameter = (6 * 10_100 * 1.6 / math.pi) ** (1 / 3)
    spacing = np.prod(plan.configurations[ORGAN].preprocessing.spacing_mm) ** (1 / 3)
    assert LEAST_ORGAN_VOXELS <= diameter / spacing < 1.1 * LEAST_ORGAN_VOXELS
    assert "no coarser" in reason(plan, f"{ORGAN} spacing")


def test_the_second_stage_is_fitted_to_the_box(make_fingerprint, make_dataset) -> None:
    roi = plan_of(make_fingerprint, make_dataset).configurations[ROI]
    assert roi.median_shape_voxels == (round(250 / 1.6), 220, 240)
    whole = plan_of(make_fingerprint, make_dataset, facts=OrganFacts()).configurations[ROI]
    assert whole.median_shape_voxels == (188, 400, 400)
    narrow = plan_of(make_fingerprint, make_dataset, region={"margin_mm": 0.0}).configurations[ROI]
    assert narrow.median_shape_voxels == (round(210 / 1.6), 180, 200)


def test_the_second_stage_learns_from_parts_of_its_window(make_fingerprint, make_dataset) -> None:
    part = plan_of(make_fingerprint, make_dataset)
    whole = plan_of(make_fingerprint, make_dataset, region={"cpu_patch_share": 1.0})
    roi, full = part.configurations[ROI], whole.configurations[ROI]
    assert roi.window == full.window == full.patch_size_voxels
    assert full.window_size_voxels is None
    assert 0.2 < math.prod(roi.patch_size_voxels) / math.prod(roi.window) <= 0.35
    assert (roi.topology, roi.network, roi.batch_size) == (full.topology, full.network, full.batch_size)
    assert "at most 35%" in reason(part, f"{ROI} training patch")
    assert "window_size_voxels" not in json.loads(whole.to_json())["configurations"][ROI]


def test_parts_of_windows_are_for_cpus(make_fingerprint, make_dataset) -> None:
    roi = plan_of(make_fingerprint, make_dataset, device=GPU).configurations[ROI]
    assert roi.window == roi.patch_size_voxels


def test_the_host_and_the_plausible_volumes_come_from_the_cases(make_fingerprint, make_dataset) -> None:
    counts = ((LIVER, 0), (LIVER // 2, 5_000), (0, 0))
    plan = plan_of(make_fingerprint, make_dataset, counts=counts)
    region = plan.configurations[ROI].region
    assert region is not None
    assert (region.labels, region.host, region.found_as) == ((1, 2), 1, (1,))
    assert region.volume_ml == pytest.approx(((LIVER / 2 + 5_000) * 1.6e-3, LIVER * 1.6e-3))
    assert "484 to 3840 ml" in reason(plan, f"{ROI} plausible organ")


def test_another_order_of_labels_finds_the_host_too(make_fingerprint, make_dataset) -> None:
    plan = plan_of(make_fingerprint, make_dataset, counts=((TUMOUR, LIVER),), names=("tumour", "liver"))
    region = plan.configurations[ROI].region
    assert region is not None
    assert region.host == 2
    assert plan.configurations[ORGAN].regions_class_order == (2,)
    assert "liver" in plan.configurations[ORGAN].labels


def test_the_second_stage_may_learn_the_tumour_alone(make_fingerprint, make_dataset) -> None:
    plan = plan_of(make_fingerprint, make_dataset, region={"targets": ("tumour",), "input_channel": False})
    roi = plan.configurations[ROI]
    space = roi.label_space(plan.labels, plan.regions_class_order)
    assert (space.names, space.head_values) == (("tumour",), (0, 2))
    assert roi.input_channels(1, space) == 1


def test_a_model_replaces_the_first_stage(make_fingerprint, make_dataset) -> None:
    facts = OrganFacts(model=LabelSpace.parse({"background": 0, "spleen": 1, "liver": 5}))

    def region_of(**region) -> tuple[Plan, Region]:
        plan = plan_of(make_fingerprint, make_dataset, facts=facts, region={"model": "somewhere", **region})
        return plan, plan.configurations[ROI].region

    plan, region = region_of()
    assert tuple(plan.configurations) == (ROI,)
    assert (region.model, region.found_as, region.labels) == ("somewhere", (1, 5), (1, 2))
    assert plan.configurations[ROI].previous_stage is None
    assert region_of(model_labels=("spleen",))[1].found_as == (1,)
    assert region_of(labels=("liver", "tumour"))[1].found_as == (5,)


def test_the_grid_may_be_chosen(make_fingerprint, make_dataset) -> None:
    plan = plan_of(make_fingerprint, make_dataset, region={"spacing_mm": (6.0, 5.0, 4.0)})
    assert plan.configurations[ORGAN].preprocessing.spacing_mm == (6.0, 5.0, 4.0)
    assert "set by the method" in reason(plan, f"{ORGAN} spacing")


@pytest.mark.parametrize(
    ("choices", "counts", "message"),
    [
        ({"labels": ("livr",)}, (LIVER, 0), r"\[plan.region\] labels: there is no label 'livr'.*'liver'"),
        ({"targets": ("lesion",)}, (LIVER, 0), r"\[plan.region\] targets: there is no label 'lesion'"),
        ({"spacing_mm": (0.0, 1.0, 1.0)}, (LIVER, 0), r"region.spacing_mm = \(0.0, 1.0, 1.0\)"),
        ({}, (0, 0), r"no training case holds liver or tumour"),
        ({"model": "x", "model_labels": ("lung",)}, (LIVER, 0), r"model_labels: there is no label 'lung'"),
    ],
)
def test_what_cannot_be_is_told(make_fingerprint, make_dataset, choices, counts, message) -> None:
    with pytest.raises(SpecError, match=message):
        plan_of(make_fingerprint, make_dataset, counts=(counts,), region=choices)


def test_planar_images_have_no_region(make_fingerprint, make_dataset) -> None:
    method = load_method("liver_tumor_cascade")
    with pytest.raises(SpecError, match="needs volumes, the images are planar"):
        make_plan(make_dataset(), make_fingerprint((1, 1, 1), (1, 64, 64)), method, device=CPU)


def test_choices_without_a_region_keep_their_digest() -> None:
    method = Method(name="x")
    assert "region" not in method.plan.model_dump(mode="json")
    assert method.plan.digest() != load_method("liver_tumor_cascade").plan.digest()
    assert Method.parse(method.model_dump(mode="json"), "x") == method
