"""The liver, then its tumours: one command from raw phantoms to a model folder, and what it makes of odd images."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg import pipeline
from autoseg.cli import run_command
from autoseg.core.errors import DatasetError, SpecError
from autoseg.core.workspace import Workspace
from autoseg.inference.case_log import CASE_LOG
from autoseg.inference.next_stage import ORGAN_MODEL, bring_previous_labels
from autoseg.inference.organ_model import pack_organ_model
from autoseg.inference.predictor import Predictor
from autoseg.io.images import read_image, read_label, write_image, write_label
from autoseg.io.label_store import StoredLabels
from autoseg.planning.region import ORGAN, ROI
from autoseg.preprocessing.folder import cases_digest
from autoseg.specs.model import Model
from autoseg.specs.plan import Plan
from autoseg.specs.report import Report
from autoseg.specs.run import Run
from autoseg.specs.splits import Splits
from autoseg.training.readers import open_cases

NAME, METHOD = "Dataset001_PhantomLiver", "liver_tumor_cascade"
CASES = [f"ct_{number:03d}" for number in range(4)]
FOLDS = [{"train": CASES[:2], "val": CASES[2:]}, {"train": CASES[2:], "val": CASES[:2]}]
SHORT = ("--iterations-per-epoch", "2", "--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """One fold of two; the first stage in both."""
    root = tmp_path_factory.mktemp("liver")
    made = ["convert", "phantom", "--cases", "4", "--test-cases", "1", "--size", "16x24x24"]
    assert run_command([*made, "--workspace", str(root)]) == 0
    (root / "raw" / NAME / "splits_final.json").write_text(json.dumps(FOLDS))
    arguments = ["plan_and_train", "1", "--method", METHOD, "-f", "0", "--epochs", "2", *SHORT]
    assert run_command([*arguments, "--workspace", str(root), "--workers", "1"]) == 0
    return root


@pytest.fixture
def workspace(trained, tmp_path) -> Path:
    """Runs of its own, to be changed."""
    for part in ("raw", "prepared"):
        (tmp_path / part).symlink_to(trained / part)
    shutil.copytree(trained / "runs", tmp_path / "runs")
    return tmp_path


def runs(root: Path) -> Path:
    return root / "runs" / NAME / METHOD


def plan_of(root: Path) -> Plan:
    return Plan.load(Workspace(root).plan(NAME, METHOD))


def log_of(folder: Path) -> dict[str, dict]:
    lines = [json.loads(line) for line in (folder / CASE_LOG).read_text().splitlines()]
    return {line["case"]: line for line in lines}


def test_the_first_stage_is_trained_in_every_fold_and_the_second_in_one(trained) -> None:
    assert {path.name for path in (runs(trained) / ORGAN).glob("fold_*")} == {"fold_0", "fold_1"}
    assert {path.name for path in (runs(trained) / ROI).glob("fold_*")} == {"fold_0"}
    organ, roi = (Run.load(runs(trained) / name / "fold_0" / "run.json") for name in (ORGAN, ROI))
    assert organ.labels == {"background": 0, "liver": (1, 2)}
    assert roi.labels == {"background": 0, "liver": 1, "tumour": 2}
    assert (organ.schedule.epochs, roi.schedule.epochs) == (1, 2), "a quarter of the epochs, but one at least"
    assert organ.previous_labels is None
    assert roi.previous_labels is not None


def test_held_out_cases_go_the_way_of_new_ones_and_are_scored(trained) -> None:
    folder = runs(trained) / ROI / "fold_0" / "validation"
    assert set(log_of(folder)) == set(CASES[2:])
    report = Report.load(folder / "report.json")
    assert set(report.cases[0].regions) == {"liver", "tumour"}
    organ = Report.load(runs(trained) / ORGAN / "fold_1" / "validation" / "report.json")
    assert [set(case.regions) for case in organ.cases] == [{"liver"}] * 2
    masks = [read_label(runs(trained) / ORGAN / "fold_1" / "validation" / f"{name}.nii.gz")[0] for name in CASES[:2]]
    assert all(set(np.unique(mask)) <= {0, 1} for mask in masks)


def test_the_model_folder_holds_both_stages(trained, command, tmp_path) -> None:
    folder = trained / "models" / NAME / METHOD
    model = Model.load(folder / "model.json")
    assert {name: set(member.weights) for name, member in model.members.items()} == {ORGAN: {"0", "1"}, ROI: {"0"}}
    assert model.selected == (ROI,)
    assert model.labels == {"background": 0, "liver": 1, "tumour": 2}
    images = trained / "raw" / NAME / "imagesTs"
    result = command("predict", "-i", images, "-o", tmp_path, "-m", folder, "--device", "cpu", workspace=trained)
    assert result.code == 0, result.said
    (line,) = log_of(tmp_path).values()
    assert line["case"] == "ct_004"
    assert line["seconds"] > 0
    labels, geometry = read_label(tmp_path / "ct_004.nii.gz")
    assert geometry.shape == read_image(images / "ct_004_0000.nii.gz").geometry.shape
    assert set(np.unique(labels)) <= {0, 1, 2}


def test_an_image_of_nothing_is_no_exception(trained, command, tmp_path) -> None:
    images = trained / "raw" / NAME / "imagesTs"
    geometry = read_image(images / "ct_004_0000.nii.gz").geometry
    (tmp_path / "in").mkdir()
    empty = np.full((1, *geometry.shape), -1024, np.int16)
    write_image(tmp_path / "in" / "air_0000.nii.gz", empty, geometry)
    write_image(tmp_path / "in" / "zero_0000.nii.gz", np.zeros_like(empty), geometry)
    result = command("predict", "-i", tmp_path / "in", "-o", tmp_path / "out", "--device", "cpu", workspace=trained)
    assert result.code == 0, result.said
    log = log_of(tmp_path / "out")
    assert set(log) == {"air", "zero"}
    assert all("the whole case is segmented" in line["events"][0] for line in log.values())


def test_the_second_stage_sees_boxes_around_held_out_organs(workspace, command) -> None:
    """With organs as good as the references the boxes are small; the trained second stage is then another."""
    raw = workspace / "raw" / NAME / "labelsTr"
    for fold, cases in enumerate(FOLDS):
        for case in cases["val"]:
            mask = runs(workspace) / ORGAN / f"fold_{fold}" / "validation" / f"{case}.nii.gz"
            labels, geometry = read_label(raw / f"{case}.nii.gz")

            write_label(mask, (labels > 0).astype(np.uint8), geometry)
    again = ["plan_and_train", "1", "--method", METHOD, "-f", "0", "--epochs", "2", *SHORT]
    refused = command(*again, workspace=workspace)
    assert refused.code == 2
    assert "holds a run with another previous_labels" in refused.said
    configuration = plan_of(workspace).configurations[ROI]
    (stored,) = (runs(workspace) / ORGAN).glob("next_*")
    cases = Workspace(workspace).cases(NAME, cases_digest(configuration.preprocessing))
    for reader in open_cases(cases, tuple(CASES), configuration, previous=stored):
        organ = StoredLabels(stored, reader.case_id).read()
        assert set(np.unique(organ)) == {0, 1}
        assert np.prod(reader.shape) < 0.7 * organ.size
        image, labels = reader.read_patch((0, 0, 0), reader.shape)
        assert image.shape[1:] == reader.shape
        assert (labels[1] > 0).sum() == (organ > 0).sum(), "the box holds the whole organ"


def test_references_or_a_model_may_find_the_organ(workspace) -> None:
    plan, splits = plan_of(workspace), Splits.load(Workspace(workspace).splits(NAME, METHOD))
    configuration = plan.configurations[ROI]
    stored = Workspace(workspace).cases(NAME, cases_digest(configuration.preprocessing))
    folder, raw = runs(workspace) / ROI / "fold_0", workspace / "raw" / NAME

    def bring(**region):
        changed = configuration.region.model_copy(update=region)
        stage = None if "model" in region else ORGAN
        one = configuration.model_copy(update={"region": changed, "previous_stage": stage})
        return bring_previous_labels(folder, one, stored=stored, splits=splits, fold=splits.fold("0"), raw=raw)

    target = bring(source="reference")
    assert all(StoredLabels(target, case).read().any() for case in CASES)
    with pytest.raises(DatasetError, match=r"4 cases have no mask by the organ's model \(ct_000"):
        bring(model="somewhere")
    shutil.copytree(raw / "labelsTr", runs(workspace) / ORGAN_MODEL)
    other = bring(model="somewhere", found_as=(1, 2))
    assert other.parent.name == ORGAN_MODEL
    for case in CASES:
        np.testing.assert_array_equal(StoredLabels(other, case).read(), StoredLabels(target, case).read())


def test_a_given_model_is_the_first_stage(workspace, command, tmp_path) -> None:
    """Its folder is copied into that of the whole model, which then needs nothing else."""
    packed = command("ensemble", "-d", "1", "--method", METHOD, "-c", ORGAN, workspace=workspace)
    assert packed.code == 0, packed.said
    organ = tmp_path / "liver_model"
    shutil.move(workspace / "models" / NAME / METHOD, organ)
    method = tmp_path / "given.toml"
    method.write_text(f'name = "given"\nextends = "{METHOD}"\n[plan.region]\nmodel = "{organ}"\n')
    arguments = ["plan_and_train", "1", "--method", method, "-f", "0", "--epochs", "1", *SHORT]
    result = command(*arguments, workspace=workspace)
    assert result.code == 0, result.said
    folder = workspace / "models" / NAME / "given"
    model = Model.load(folder / "model.json")
    assert set(model.members) == {ROI}
    assert model.members[ROI].configuration.region.model == "organ"
    shutil.rmtree(organ)
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    image = read_image(workspace / "raw" / NAME / "imagesTs" / "ct_004_0000.nii.gz")
    predictor = Predictor.load(moved, device="cpu")
    assert predictor.predict(workspace / "raw" / NAME / "imagesTs" / "ct_004_0000.nii.gz").geometry == image.geometry
    assert {path.name for path in (workspace / "runs" / NAME / "given").iterdir()} == {ROI, ORGAN_MODEL}


def test_a_cascade_is_no_first_stage(trained, tmp_path) -> None:
    folder = trained / "models" / NAME / METHOD
    member = Model.load(folder / "model.json").members[ROI]
    region = member.configuration.region.model_copy(update={"model": str(folder)})
    nested = member.model_copy(
        update={"configuration": member.configuration.model_copy(update={"region": region, "previous_stage": None})}
    )
    with pytest.raises(SpecError, match="is a region-of-interest cascade itself: name a model of a single stage"):
        pack_organ_model(tmp_path, nested)


def test_a_model_that_cannot_be_the_first_stage_is_refused_before_anything_is_trained(trained, command) -> None:
    folder = trained / "models" / NAME / METHOD
    given = ("plan", "1", "--method", METHOD, "--set", f"plan.region.model={folder}", "--replan")
    result = command(*given, workspace=trained)
    assert (result.code, "is a region-of-interest cascade itself: name a model of" in result.said) == (2, True)


def test_stages_are_not_averaged(trained) -> None:
    folder = trained / "models" / NAME / METHOD
    with pytest.raises(SpecError, match="3d_organ and 3d_roi_fullres have other labels or regions: no average"):
        Predictor.load(folder, device="cpu", configurations=(ORGAN, ROI))
    alone = Predictor.load(folder, device="cpu", configurations=(ORGAN,))
    labels = alone.predict(trained / "raw" / NAME / "imagesTs" / "ct_004_0000.nii.gz").labels
    assert set(np.unique(labels)) <= {0, 1}


def test_both_stages_share_the_time() -> None:
    options = pipeline.Options(NAME, method=METHOD, time_budget_s=1200.0)
    first, second = pipeline.share_of_time(options, first=5, second=1)
    assert (first.time_budget_s, second.time_budget_s) == (60.0, 900.0)
    assert 5 * first.time_budget_s + second.time_budget_s == options.time_budget_s
    first, second = pipeline.share_of_time(options, first=5, second=5)
    assert 5 * (first.time_budget_s + second.time_budget_s) == 5 * options.time_budget_s
    chosen = replace(options, overrides=("plan.region.time_share=0.5",))
    assert pipeline.share_of_time(chosen, first=5, second=1)[0].time_budget_s == 120.0
    epochs = pipeline.share_of_time(replace(options, time_budget_s=None, epochs=40), first=5, second=1)
    assert [one.epochs for one in epochs] == [10, 40]
    neither = pipeline.share_of_time(replace(options, time_budget_s=None), first=5, second=1)
    assert [one.epochs for one in neither] == [None, None]
