"""What `autoseg plan` shows."""

from __future__ import annotations

import io

from rich.console import Console

from autoseg.core.labels import value_names
from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.planning.splits import make_splits
from autoseg.reporting.plan_table import class_table, class_voxels, plan_view
from autoseg.specs.dataset import Dataset
from autoseg.specs.fingerprint import CaseFingerprint, Fingerprint, IntensityStatistics

FLAT = IntensityStatistics(mean=0, median=0, std=1, minimum=0, maximum=1, percentile_00_5=0, percentile_99_5=1)


def fingerprint(labels: int = 3) -> Fingerprint:
    cases = tuple(
        CaseFingerprint(
            case_id=f"case_{index}",
            content="",
            shape_voxels=(40, 50, 60),
            cropped_shape_voxels=(40, 50, 60),
            spacing_mm=(2.0, 1.0, 1.0),
            orientation="SPL",
            label_voxels={str(value): 1000 * (value + 1) for value in range(labels)},
        )
        for index in range(6)
    )
    return Fingerprint(dataset="Dataset001_X", cases=cases, intensities=(FLAT,), median_relative_size_after_cropping=1)


def dataset(labels: int = 3) -> Dataset:
    names = {"background": 0, **{f"organ {value}": value for value in range(1, labels)}}
    return Dataset(channel_names={"0": "CT"}, labels=names, numTraining=6, file_ending=".nii.gz")


def shown(renderable: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_view_names_every_decision_and_configuration() -> None:
    plan = make_plan(dataset(), fingerprint(), load_method("nnunet"))
    text = shown(plan_view(plan, fingerprint(), make_splits([case.case_id for case in fingerprint().cases])))
    for decision in plan.decisions:
        assert decision.topic in text
        assert decision.value in text
    for name, configuration in plan.configurations.items():
        assert name in text
        assert " x ".join(str(edge) for edge in configuration.patch_size_voxels) in text


def test_shares_per_class_and_split() -> None:
    splits = make_splits([case.case_id for case in fingerprint().cases])
    lines = shown(class_table(dataset().labels, fingerprint(), splits)).splitlines()
    everyone = next(line for line in lines if line.startswith("all"))
    assert everyone.split() == ["all", "6", "6", "k", "(16.67%)", "12", "k", "(33.33%)", "18", "k", "(50.00%)"]
    assert sum(line.startswith("fold") for line in lines) == 10


def test_many_classes_are_rows() -> None:
    splits = make_splits([case.case_id for case in fingerprint().cases])
    lines = shown(class_table(dataset(20).labels, fingerprint(20), splits)).splitlines()
    assert sum(line.startswith("organ") for line in lines) == 19
    assert any(line.startswith("(cases)") for line in lines)


def test_values_inside_regions_get_a_name() -> None:
    labels = {"background": 0, "whole": (1, 2, 3), "core": (2, 3), "enhancing": 3}
    assert value_names(labels) == {0: "background", 1: "whole (1)", 2: "core (2)", 3: "enhancing"}


def test_absent_class_counts_zero() -> None:
    assert class_voxels(fingerprint(), ("case_0", "case_1"), (0, 2, 9)) == {0: 2000, 2: 6000, 9: 0}
