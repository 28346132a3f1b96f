"""A cascade from raw data to a model folder by one command, and what of it is done again when."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.cli import run_command
from autoseg.inference.predictor import Predictor, PreparedCase
from autoseg.io.case_store import StoredCase
from autoseg.io.images import read_label, write_label
from autoseg.preprocessing.folder import cases_digest
from autoseg.specs.case import CaseRecord
from autoseg.specs.model import Model
from autoseg.specs.plan import Preprocessing
from autoseg.specs.run import Run
from autoseg.training import trainer
from autoseg.training.agreement import CHECKPOINT, FINAL, LOG, RUN

NAME = "Dataset001_Tiny"
CASCADE, COARSE = "3d_cascade_fullres", "3d_lowres"
METHOD = ("--set", "plan.overrides={3d_lowres={spacing_mm=[2.5,1.7,1.7]}}", "--device", "cpu", "--threads", "1")
SHORT = (*METHOD, "--epochs", "1", "--iterations-per-epoch", "2")
FOLDS = [
    {"train": ["case_0", "case_1"], "val": ["case_2", "case_3"]},
    {"train": ["case_2", "case_3"], "val": ["case_0", "case_1"]},
]


def runs(root: Path) -> Path:
    return root / "runs" / NAME / "autoseg"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, raw_dataset):
    """Only the cascade is asked for, in one fold of two."""
    root = tmp_path_factory.mktemp("cascade")
    raw = raw_dataset(root / "raw" / NAME, cases=4, test_cases=1, endings=(".nii.gz",))
    (raw / "splits_final.json").write_text(json.dumps(FOLDS))
    arguments = ["plan_and_train", "-d", "1", "-c", CASCADE, "-f", "0", *SHORT]
    assert run_command([*arguments, "--workspace", str(root), "--workers", "1"]) == 0
    return root


@pytest.fixture
def workspace(trained, tmp_path):
    """Runs of its own, to be damaged."""
    for part in ("raw", "prepared"):
        (tmp_path / part).symlink_to(trained / part)
    shutil.copytree(trained / "runs", tmp_path / "runs")
    return tmp_path


def test_the_previous_stage_is_trained_in_every_fold(trained):
    assert sorted(path.name for path in runs(trained).iterdir()) == [CASCADE, COARSE]
    assert {path.name for path in (runs(trained) / COARSE).glob("fold_*")} == {"fold_0", "fold_1"}
    assert {path.name for path in (runs(trained) / CASCADE).glob("fold_*")} == {"fold_0"}
    run = Run.load(runs(trained) / CASCADE / "fold_0" / RUN)
    assert run.previous_labels is not None
    assert Run.load(runs(trained) / COARSE / "fold_0" / RUN).previous_labels is None


def test_the_model_folder_runs_the_chain_that_was_scored(trained):
    folder = trained / "models" / NAME / "autoseg"
    model = Model.load(folder / "model.json")
    assert {name: set(member.weights) for name, member in model.members.items()} == {COARSE: {"0", "1"}, CASCADE: {"0"}}
    assert model.selected == (CASCADE,), "the stage before is an input, not a member of an average"
    predictor = Predictor.load(folder, device="cpu", folds=("0",), postprocess=False)
    assert predictor.final == (CASCADE,)
    labels_seen = set()
    for case in FOLDS[0]["val"]:
        expected, _ = read_label(runs(trained) / CASCADE / "fold_0" / "validation" / f"{case}.nii.gz")
        # Held-out cases are read as they are stored, in half precision: on the same input the chains are equal.
        sections = [member.configuration.preprocessing for member in predictor.members]
        images = {section.digest(): stored_image(trained, section, case) for section in sections}
        found = predictor.labels(predictor.logits(PreparedCase(case, images)))
        np.testing.assert_array_equal(found, expected)
        fresh = predictor.predict(trained / "raw" / NAME / "imagesTr" / f"{case}_0000.nii.gz").labels
        assert (fresh == expected).mean() > 0.95
        labels_seen |= set(np.unique(expected))
    assert len(labels_seen) > 1, "an empty mask would equal anything"


def stored_image(root: Path, section: Preprocessing, case: str) -> tuple[torch.Tensor, CaseRecord]:
    found = StoredCase(root / "prepared" / NAME / f"cases_{cases_digest(section)}", case)
    return torch.from_numpy(found.read()[0].astype(np.float32)), found.record


def test_new_cases_are_predicted(trained, command, tmp_path):
    images = trained / "raw" / NAME / "imagesTs"
    result = command("predict", "-i", images, "-o", tmp_path / "out", "--device", "cpu", workspace=trained)
    assert result.code == 0, result.said
    assert [path.name for path in (tmp_path / "out").glob("scan*")] == ["scan_4.nii.gz"]


def test_the_same_command_again_trains_nothing(workspace, command):
    before = {path: path.stat().st_mtime_ns for path in runs(workspace).rglob("*") if path.is_file()}
    result = command("plan_and_train", "1", "-c", CASCADE, "-f", "0", *SHORT, workspace=workspace)
    assert result.code == 0, result.said
    assert {path: path.stat().st_mtime_ns for path in runs(workspace).rglob("*") if path.is_file()} == before


def test_other_previous_labels_are_another_training(workspace, command):
    mask = runs(workspace) / COARSE / "fold_1" / "validation" / "case_0.nii.gz"
    labels, geometry = read_label(mask)
    write_label(mask, np.where(labels == 1, 0, 1), geometry)
    train = ("train", "1", "-c", CASCADE, "-f", "0", *SHORT)
    result = command(*train, workspace=workspace)
    assert result.code == 2
    folder = runs(workspace) / CASCADE / "fold_0"
    assert result.lines[-1].startswith(f"autoseg: {folder} holds a run with another previous_labels: use the same")
    before = (folder / FINAL).read_bytes()
    assert command(*train, "--replan", workspace=workspace).code == 0
    assert (folder / FINAL).read_bytes() != before


def test_a_missing_fold_of_the_previous_stage_is_named(workspace, command):
    shutil.rmtree(runs(workspace) / COARSE / "fold_1")
    result = command("train", "1", "-c", CASCADE, "-f", "1", *SHORT, workspace=workspace)
    assert result.code == 2
    assert result.lines[-1].startswith("autoseg: 3d_lowres has no held-out masks of fold(s) 1, which the next stage")
    assert "plan_and_train" in result.lines[-1]
    assert not (runs(workspace) / CASCADE / "fold_1").exists()


def test_an_interrupted_training_ends_as_the_unbroken_one(workspace, command, monkeypatch):
    train = ("train", "1", "-c", CASCADE, "-f", "1", *METHOD, "--epochs", "2", "--iterations-per-epoch", "2")
    assert command(*train, workspace=workspace).code == 0
    unbroken = runs(workspace) / CASCADE / "unbroken"
    (runs(workspace) / CASCADE / "fold_1").rename(unbroken)
    monkeypatch.setattr(trainer, "CHECKPOINT_INTERVAL_S", -1.0)
    monkeypatch.setattr(trainer, "SAVING_SHARE", float("inf"))
    step, calls = trainer.gradient_step, []

    def dying(*arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            raise MemoryError
        return step(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "gradient_step", dying)
        with pytest.raises(MemoryError):
            command(*train, workspace=workspace)
    folder = runs(workspace) / CASCADE / "fold_1"
    assert (folder / CHECKPOINT).is_file()
    assert not (folder / FINAL).exists()
    assert command(*train, workspace=workspace).code == 0
    for name in (FINAL, RUN):
        assert (folder / name).read_bytes() == (unbroken / name).read_bytes()
    losses = [
        [json.loads(line)["train_loss"] for line in (each / LOG).read_text().splitlines()]
        for each in (folder, unbroken)
    ]
    assert losses[0] == losses[1]


def test_both_stages_are_compared_and_averaged_when_both_are_wanted(workspace, command):
    result = command("plan_and_train", "1", "-c", CASCADE, COARSE, "-f", "0", *SHORT, workspace=workspace)
    assert result.code == 0, result.said
    scores = json.loads((workspace / "models" / NAME / "autoseg" / "scores.json").read_text())
    assert set(scores) == {CASCADE, COARSE, f"{COARSE}+{CASCADE}"}


def test_regions_and_the_ignore_label(tmp_path, raw_dataset, command):
    labels = {"background": 0, "organ": [1, 2], "lesion": [2], "ignore": 3}
    raw = raw_dataset(
        tmp_path / "raw" / NAME,
        cases=4,
        endings=(".nii.gz",),
        labels=labels,
        regions_class_order=[1, 2],
        ignore=3,
    )
    (raw / "splits_final.json").write_text(json.dumps(FOLDS))
    result = command("plan_and_train", "1", "-c", CASCADE, "-f", "all", *SHORT, workspace=tmp_path)
    assert result.code == 0, result.said
    model = Model.load(tmp_path / "models" / NAME / "autoseg" / "model.json")
    assert {name: set(member.weights) for name, member in model.members.items()} == {
        COARSE: {"0", "1"},
        CASCADE: {"all"},
    }
    predict = ("predict", "-i", raw / "imagesTs", "-o", tmp_path / "out", "-f", "all", "--device", "cpu")
    assert command(*predict, workspace=tmp_path).code == 0
    assert {value for path in (tmp_path / "out").glob("scan*") for value in np.unique(read_label(path)[0])} <= {0, 1, 2}
