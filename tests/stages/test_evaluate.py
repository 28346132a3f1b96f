"""The evaluate stage on small folders."""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.core import workers as pool
from autoseg.core.errors import DatasetError, RegistryError, SpecError
from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.io.images import write_label
from autoseg.specs.dataset import Dataset, Provenance
from autoseg.specs.report import Report
from autoseg.stages import evaluate
from autoseg.stages.evaluate import Options, run

GRID = Geometry((6, 10, 12), (3.0, 1.0, 1.0))
CASES = ("a", "b", "c")


@pytest.fixture
def folders(tmp_path: Path) -> Options:
    """Predictions of three cases moved by 0, 1 and 2 voxels; the third has no tumour."""
    for move, case_id in enumerate(CASES):
        reference = np.zeros(GRID.shape, np.uint8)
        reference[1:5, 2:8, 2:9] = 1
        if case_id != "c":
            reference[2:4, 4:6, 4:6] = 2
        write_label(tmp_path / "references" / f"{case_id}.nii.gz", reference, GRID)
        write_label(tmp_path / "predictions" / f"{case_id}.nii.gz", np.roll(reference, move, axis=2), GRID)
    (tmp_path / "predictions" / "notes.json").write_text("{}")
    return Options(tmp_path / "predictions", tmp_path / "references", tmp_path / "out" / "report.json", workers=1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def declare(path: Path, labels: dict[str, int | tuple[int, ...]], order: tuple[int, ...] | None = None) -> Path:
    dataset = Dataset(
        channel_names={"0": "CT"}, labels=labels, numTraining=0, file_ending=".nii.gz", regions_class_order=order
    )
    dataset.save(path)
    return path


def test_a_report_and_its_table_are_written(folders: Options, workspace: Workspace) -> None:
    report = run(folders, workspace)
    assert folders.output is not None
    assert Report.load(folders.output) == report
    assert [case.id for case in report.cases] == list(CASES)
    assert report.cases[0].regions["1"]["dice"].value == 1
    assert report.cases[2].regions["2"]["dice"].reason == "empty in both"
    assert report.summary["2"]["dice"].cases == 2
    assert set(report.summary) == {"1", "2", "mean"}
    assert "NaN" not in folders.output.read_text()
    rows = list(csv.DictReader(folders.output.with_suffix(".csv").read_text().splitlines()))
    assert [(row["case"], row["region"]) for row in rows] == [(case, region) for case in CASES for region in "12"]
    assert float(rows[2]["dice"]) == pytest.approx(report.cases[1].regions["1"]["dice"].value)
    assert rows[5]["dice"] == ""


def test_processes_give_the_same_report(
    folders: Options, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = declare(tmp_path / "dataset.json", {"background": 0, "liver": 1, "tumour": 2})
    alone = replace(folders, labels=labels, output=None)
    expected = run(alone, workspace)
    started: list[int] = []
    run_cases = pool.run_cases

    def watched(function: Any, items: Any, *, workers: int) -> Any:
        started.append(workers)
        return run_cases(function, items, workers=workers)

    monkeypatch.setattr(pool, "run_cases", watched)
    assert run(replace(alone, workers=2), workspace) == expected
    assert set(started) == {1}  # quick work needs no other process
    monkeypatch.setattr(evaluate, "_ALONE_S", 0.0)
    assert run(replace(alone, workers=2), workspace) == expected
    assert 2 in started


def test_names_and_regions_come_from_the_data_set(folders: Options, workspace: Workspace, tmp_path: Path) -> None:
    labels: dict[str, int | tuple[int, ...]] = {"background": 0, "whole": (1, 2), "tumour": (2,)}
    path = declare(workspace.raw_dataset("Dataset001_X") / "dataset.json", labels, (1, 2))
    by_name = run(replace(folders, dataset="Dataset001_X"), workspace)
    by_path = run(replace(folders, labels=path), workspace)
    assert by_name == by_path
    assert list(by_name.summary) == ["whole", "tumour", "mean"]


def test_missing_predictions_are_an_error_that_names_them(folders: Options, workspace: Workspace) -> None:
    for case_id in ("a", "c"):
        (folders.predictions / f"{case_id}.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"2 case\(s\) have no prediction in .*predictions: a, c"):
        run(folders, workspace)
    assert folders.output is not None
    assert not folders.output.exists()


def test_only_the_first_of_many_names_are_listed(folders: Options, workspace: Workspace) -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    for index in range(10):
        write_label(folders.references / f"z{index}.nii.gz", labels, GRID)
    with pytest.raises(DatasetError, match=r"10 case.* z0, z1, z2, z3, z4 and 5 more"):
        run(folders, workspace)


def test_chosen_cases_need_no_others(folders: Options, workspace: Workspace) -> None:
    (folders.predictions / "a.nii.gz").unlink()
    assert [case.id for case in run(replace(folders, cases=("b",)), workspace).cases] == ["b"]
    with pytest.raises(DatasetError, match=r"1 case\(s\) have no reference in .*references: q"):
        run(replace(folders, cases=("b", "q")), workspace)


def test_surplus_predictions_are_left_out_with_a_warning(
    folders: Options, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    (folders.references / "a.nii.gz").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(run(folders, workspace).cases) == 2
    assert "1 predictions without a reference are left out: a" in caplog.text


def test_another_shape_is_an_error_that_names_the_file(folders: Options, workspace: Workspace) -> None:
    grid = Geometry((6, 10, 11), GRID.spacing_mm)
    write_label(folders.predictions / "b.nii.gz", np.zeros(grid.shape, np.uint8), grid)
    with pytest.raises(
        DatasetError, match=r"case b: .*b\.nii\.gz has the shape \(6, 10, 11\), its reference \(6, 10, 12"
    ):
        run(folders, workspace)


def test_another_affine_is_a_warning_and_the_references_spacing_counts(
    folders: Options, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    expected = run(replace(folders, output=None), workspace)
    moved = Geometry(GRID.shape, (9.0, 1.0, 1.0), origin_mm=(5.0, 0.0, 0.0))
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1:5, 2:8, 2:9] = 1
    labels[2:4, 4:6, 4:6] = 2
    write_label(folders.predictions / "a.nii.gz", labels, moved)
    with caplog.at_level(logging.WARNING):
        assert run(folders, workspace).cases == expected.cases
    assert "a.nii.gz: spacing_mm and origin_mm differ from the reference's" in caplog.text


def test_a_value_that_is_no_label_names_both_files_and_the_other_cases(folders: Options, workspace: Workspace) -> None:
    for case_id in ("b", "c"):
        write_label(folders.predictions / f"{case_id}.nii.gz", np.full(GRID.shape, 4, np.uint8), GRID)
    message = (
        r"case b: the prediction holds the value 4, the labels are 0, 1, 2 \(.*b\.nii\.gz against .*\(also failed: c\)"
    )
    with pytest.raises(DatasetError, match=message):
        run(folders, workspace)


def test_references_without_any_label_need_names(folders: Options, workspace: Workspace, tmp_path: Path) -> None:
    for case_id in CASES:
        write_label(folders.references / f"{case_id}.nii.gz", np.zeros(GRID.shape, np.uint8), GRID)
    with pytest.raises(DatasetError, match="every reference is empty: name the labels"):
        run(folders, workspace)
    labels = declare(tmp_path / "dataset.json", {"background": 0, "liver": 1, "tumour": 2})
    report = run(replace(folders, labels=labels), workspace)
    assert report.summary["liver"]["dice"].mean == 0
    assert report.summary["liver"]["hd95_mm"].undefined == {"empty in reference": 3}


def test_folders_must_hold_label_maps(folders: Options, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no references in .*empty: put files ending in \.nii\.gz"):
        run(replace(folders, references=tmp_path / "empty"), workspace)
    with pytest.raises(DatasetError, match="nowhere is not a folder: check the path"):
        run(replace(folders, predictions=tmp_path / "nowhere"), workspace)
    write_label(folders.predictions / "a.mha", np.zeros(GRID.shape, np.uint8), GRID)
    with pytest.raises(DatasetError, match=r"a\.nii\.gz and a\.mha are the same case: remove one"):
        run(folders, workspace)


def test_options_reach_the_protocol(folders: Options, workspace: Workspace) -> None:
    report = run(replace(folders, surface=False, output=None), workspace)
    assert "nsd" not in report.definitions
    assert "nsd" not in report.cases[0].regions["1"]
    wide = run(replace(folders, tolerance_mm=50.0, output=None), workspace)
    assert wide.summary["1"]["nsd"].mean == pytest.approx(1)
    with pytest.raises(RegistryError, match="unknown scoring protocol 'autosegg': did you mean 'autoseg'"):
        run(replace(folders, protocol="autosegg"), workspace)
    with pytest.raises(SpecError, match=r"cannot read .*absent\.json"):
        run(replace(folders, labels=folders.references / "absent.json"), workspace)


def test_the_data_set_chooses_the_protocol(folders: Options, workspace: Workspace, tmp_path: Path) -> None:
    auto = replace(folders, protocol="auto", output=None)
    assert run(auto, workspace).protocol == "autoseg"
    path = declare(tmp_path / "dataset.json", {"background": 0, "liver": 1, "tumor": 2})
    assert run(replace(auto, labels=path), workspace).protocol == "autoseg"
    raw = workspace.raw_dataset("Dataset001_Liver") / "dataset.json"
    raw.parent.mkdir(parents=True)
    Dataset.load(path).model_copy(update={"scoring": "lits"}).save(raw)
    report = run(replace(auto, dataset="Dataset001_Liver"), workspace)
    assert report.protocol == "lits"
    assert "dice_global" in report.summary["lesion"]
    assert run(replace(auto, labels=raw, surface=False), workspace).protocol == "autoseg"
    assert run(replace(auto, labels=raw, protocol="msd"), workspace).protocol == "msd"


def test_hippocampus_references_against_themselves_and_moved(test_data: Path, tmp_path: Path) -> None:
    """Real anatomy: identical masks are perfect, a shift by one 1 mm voxel costs at most 1 mm."""
    from autoseg.io.images import read_label

    source = sorted((test_data / "Task04_Hippocampus" / "labelsTr").glob("h*.nii.gz"))[:6]
    for path in source:
        labels, grid = read_label(path)
        write_label(tmp_path / "references" / path.name, labels, grid)
        write_label(tmp_path / "predictions" / path.name, np.roll(labels, 1, axis=1), grid)
    same = run(Options(tmp_path / "references", tmp_path / "references", workers=1), Workspace(tmp_path))
    assert {same.summary["mean"][metric].mean for metric in ("dice", "nsd", "lesion_f1")} == {1.0}
    moved = run(Options(tmp_path / "predictions", tmp_path / "references", workers=1), Workspace(tmp_path))
    assert 0.5 < (moved.summary["mean"]["dice"].mean or 0) < 0.95
    assert moved.summary["mean"]["hd95_mm"].mean == pytest.approx(1.0, abs=1e-4)
    assert json.loads(moved.to_json())["summary"]["mean"]["nsd"]["mean"] == pytest.approx(1.0)


@pytest.mark.parametrize("protocol", ["autoseg", "lits", "msd"])
def test_what_a_case_does_not_annotate_has_no_score(folders: Options, workspace: Workspace, protocol: str) -> None:
    path = declare(folders.references.parent / "dataset.json", {"background": 0, "liver": 1, "tumor": 2})
    everything = run(replace(folders, labels=path, protocol=protocol), workspace)
    origins = {"b": Provenance(annotated=("liver",)), "c": Provenance(annotated=("tumor",))}
    Dataset.load(path).model_copy(update={"provenance": origins}).save(path)
    report = run(replace(folders, labels=path, protocol=protocol), workspace)
    first, second = report.cases[0].regions
    assert report.cases[0] == everything.cases[0]
    assert {score.reason for score in report.cases[1].regions[second].values()} == {"not annotated"}
    assert {score.value for score in report.cases[1].regions[second].values()} == {None}
    assert {score.reason for score in report.cases[2].regions[first].values()} == {"not annotated"}
    summary = report.summary[second]["dice"]
    assert summary.undefined.get("not annotated") == 1
    judged = [case.regions[second]["dice"].value for case in everything.cases if case.id != "b"]
    assert summary.mean == pytest.approx(np.mean([value for value in judged if value is not None]))
