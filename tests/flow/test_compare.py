"""compare by the real command line: two methods, two shares of the training cases."""

from __future__ import annotations

import csv
import json

import pytest

from autoseg.specs.model import Model
from autoseg.specs.run import Run

NAME = "Dataset001_Tiny"
SHORT = ("--epochs", "1", "--iterations-per-epoch", "2", "--device", "cpu", "--seed", "0")
ARGUMENTS = ("compare", "1", "--methods", "autoseg", "nnunet", "-c", "2d", "-f", "0", *SHORT)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, raw_dataset):
    root = tmp_path_factory.mktemp("compare")
    raw_dataset(root / "raw" / NAME)
    return root


def run_of(workspace, variant):
    return Run.load(workspace / "runs" / NAME / variant / "2d" / "fold_0" / "run.json")


def rows(workspace):
    with (workspace / "comparisons" / NAME / "comparison.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["region"] == "mean"]


def test_shares_are_nested_recorded_and_apart(workspace, command):
    assert command(*ARGUMENTS, "--train-fractions", "0.5", "1", workspace=workspace).code == 0
    whole, half = run_of(workspace, "autoseg"), run_of(workspace, "autoseg_fraction_0.5")
    assert (whole.train_fraction, half.train_fraction) == (1.0, 0.5)
    assert set(half.train_cases) < set(whole.train_cases)
    assert half.val_cases == whole.val_cases
    assert run_of(workspace, "nnunet_fraction_0.5").train_cases == half.train_cases
    found = rows(workspace)
    assert [(row["method"], row["train_fraction"]) for row in found] == [
        (method, share) for method in ("autoseg", "nnunet") for share in ("0.5", "1")
    ]
    for row in found:
        assert 0 <= float(row["dice"]) <= 1
        assert int(row["parameters"]) > 1000
        assert float(row["seconds_per_step"]) > 0
        assert int(row["peak_memory_bytes"]) > 10**7


def test_the_same_command_again_trains_nothing(workspace, command):
    weights = sorted(workspace.glob("runs/*/*/*/*/weights_final.safetensors"))
    before = [path.stat().st_mtime_ns for path in weights]
    assert len(weights) == 4
    first = rows(workspace)
    assert command(*ARGUMENTS, "--train-fractions", "0.5,1", workspace=workspace).code == 0
    assert [path.stat().st_mtime_ns for path in weights] == before
    assert rows(workspace) == first


def test_a_method_that_cannot_is_named_and_the_others_are_compared(workspace, command):
    run = workspace / "runs" / NAME / "nnunet" / "2d" / "fold_0" / "run.json"
    kept = run.read_text()
    run.write_text(kept.replace('"seed": 0', '"seed": 5'))
    result = command(*ARGUMENTS, workspace=workspace)
    run.write_text(kept)
    assert result.code == 3
    assert "holds a run with another seed" in result.said
    assert [bool(row["problem"]) for row in rows(workspace)] == [False]
    result = command(*ARGUMENTS, "--set", "train.optimizer.learning_rate=0.005", workspace=workspace)
    assert result.code == 2
    assert "nothing to compare on" in result.lines[-1]


def test_a_plan_can_be_drawn(workspace, command):
    assert command("plan", "1", "--figures", "--device", "cpu", workspace=workspace).code == 0
    folder = workspace / "prepared" / NAME / "autoseg"
    for name in ("classes.png", "composite.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_a_share_can_be_packed_and_the_whole_model_stays(workspace, command):
    arguments = ("-c", "2d", "-f", "0", *SHORT)
    assert command("plan_and_train", "1", *arguments, workspace=workspace).code == 0
    assert command("plan_and_train", "1", *arguments, "--train-fraction", "0.5", workspace=workspace).code == 0
    models = {
        name: Model.load(workspace / "models" / NAME / name / "model.json")
        for name in ("autoseg", "autoseg_fraction_0.5")
    }
    assert models["autoseg"].training_cases > models["autoseg_fraction_0.5"].training_cases
    assert models["autoseg"].members["2d"].sha256 != models["autoseg_fraction_0.5"].members["2d"].sha256


def test_epochs_can_be_judged_by_whole_cases(workspace, command):
    settings = ("--set", "train.validation=volumes", "--set", "train.keep=best")
    assert command("train", "1", "-c", "2d", "-f", "1", *SHORT, *settings, workspace=workspace).code == 0
    folder = workspace / "runs" / NAME / "autoseg" / "2d" / "fold_1"
    (line,) = [json.loads(text) for text in (folder / "log.jsonl").read_text().splitlines()]
    assert set(line["dice"]) == {"organ", "lesion"}
    assert (folder / "weights_final.safetensors").read_bytes() == (folder / "weights_best.safetensors").read_bytes()
