"""The planner against plans that nnU-Net v2's own planners made from the same fingerprints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.specs.dataset import Dataset
from autoseg.specs.fingerprint import CaseFingerprint, Fingerprint, IntensityStatistics
from autoseg.specs.method import Method, PlanChoices

GOLDEN = Path(__file__).parents[1] / "golden" / "planner_plans.json"
ROWS = json.loads(GOLDEN.read_text())["rows"]
RESIDUAL = {
    "nnUNetPlannerResEncM": (135_000_000, 680_000_000),
    "nnUNetPlannerResEncL": (380_000_000, 2_100_000_000),
    "nnUNetPlannerResEncXL": (560_000_000, 3_600_000_000),
}
CASES = [pytest.param(row, planner, id=f"{row['name']}-{planner}") for row in ROWS for planner in row["plans"]]


def method_for(planner: str, row: dict[str, Any]) -> Method:
    base = load_method("nnunet")
    choices = base.plan
    if planner in RESIDUAL:
        residual = PlanChoices(
            orientation="as_stored", mirror_axes="all", budget="fixed", reference_elements=RESIDUAL[planner]
        )
        choices = residual
    if "target" in row:
        choices = choices.model_copy(update={"overrides": {"3d_fullres": {"spacing_mm": tuple(row["target"])}}})
    return base.model_copy(update={"plan": choices})


def fingerprint_of(row: dict[str, Any]) -> Fingerprint:
    grids = list(zip(row["spacings"], row["shapes"], strict=True)) * row["repeat"]
    cases = tuple(
        CaseFingerprint(
            case_id=f"case_{index:04d}",
            content="",
            shape_voxels=tuple(shape),
            cropped_shape_voxels=tuple(shape),
            spacing_mm=tuple(spacing),
            orientation="SPL",
            label_voxels={},
        )
        for index, (spacing, shape) in enumerate(grids)
    )
    flat = IntensityStatistics(mean=0, median=0, std=1, minimum=0, maximum=1, percentile_00_5=0, percentile_99_5=1)
    return Fingerprint(
        dataset="Dataset001_X",
        cases=cases,
        intensities=(flat,) * row["channels"],
        median_relative_size_after_cropping=1.0,
    )


def dataset_of(row: dict[str, Any]) -> Dataset:
    return Dataset(
        channel_names={str(index): f"MR{index}" for index in range(row["channels"])},
        labels={"background": 0, **{f"l{index}": index for index in range(1, row["labels"])}},
        numTraining=len(row["spacings"]) * row["repeat"],
        file_ending=".nii.gz",
    )


@pytest.mark.parametrize(("row", "planner"), CASES)
def test_plan_equals_the_peers(row: dict[str, Any], planner: str) -> None:
    plan = make_plan(dataset_of(row), fingerprint_of(row), method_for(planner, row))
    expected = row["plans"][planner]
    assert set(plan.configurations) == set(expected["configurations"])
    for name, theirs in expected["configurations"].items():
        ours = plan.configuration(name)
        if name == "3d_cascade_fullres":
            assert ours.previous_stage == theirs["previous_stage"]
            assert ours == plan.configuration("3d_fullres").model_copy(
                update={"name": name, "previous_stage": ours.previous_stage}
            )
            continue
        dimensions = len(theirs["patch"])
        assert ours.preprocessing.transpose == tuple(expected["transpose"])
        assert ours.preprocessing.spacing_mm is not None
        assert ours.preprocessing.spacing_mm[-dimensions:] == pytest.approx(theirs["spacing"], rel=1e-12)
        assert ours.preprocessing.native_axes == ((0,) if dimensions == 2 else ())
        assert ours.median_shape_voxels[-dimensions:] == tuple(round(size) for size in theirs["median"])
        assert ours.patch_size_voxels == tuple(theirs["patch"])
        assert ours.batch_size == theirs["batch"]
        assert ours.batch_dice == theirs["batch_dice"]
        assert ours.topology.features == tuple(theirs["features"])
        assert [list(stride) for stride in ours.topology.strides] == theirs["strides"]
        assert [list(kernel) for kernel in ours.topology.kernels] == theirs["kernels"]
        assert ours.topology.encoder_blocks == tuple(theirs["encoder"])
        assert ours.topology.decoder_blocks == tuple(theirs["decoder"])


def test_golden_plans_cover_every_branch() -> None:
    plans = [plan for row in ROWS for plan in row["plans"].values()]
    assert any("3d_lowres" in plan["configurations"] for plan in plans)
    assert any("3d_lowres" not in plan["configurations"] for plan in plans)
    assert any("3d_fullres" not in plan["configurations"] for plan in plans)
    assert any(plan["transpose"] != [0, 1, 2] for plan in plans)
    kernels = [kernel for plan in plans for kernel in plan["configurations"].get("3d_fullres", {}).get("kernels", [])]
    assert [1, 3, 3] in kernels
