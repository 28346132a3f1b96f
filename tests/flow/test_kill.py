"""A training that is killed at any moment ends, run again, as if it had never stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.training.agreement import CHECKPOINT, FINAL, LOG, RUN

KILLED = (
    "before_checkpoint",
    "half_checkpoint",
    "unflushed_checkpoint",
    "after_checkpoint",
    "first_update",
    "in_validation",
    "after_log_line",
    "half_best_weights",
    "half_final_weights",
)
RUN_FOLDER = Path("runs/Dataset001_Tiny/autoseg/3d_fullres/fold_0")
TRAIN = ("train", "1", "-f", "0", "--threads", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, raw_dataset):
    """A planned and preprocessed workspace, to be linked into others."""
    from autoseg.cli import run_command

    root = tmp_path_factory.mktemp("kill") / "prepared_workspace"
    raw_dataset(root / "raw" / "Dataset001_Tiny")
    for arguments in (("fingerprint", "1"), ("plan", "1", "--device", "cpu"), ("preprocess", "1", "-c", "3d_fullres")):
        assert run_command([*arguments, "--workspace", str(root), "--workers", "1"]) == 0
    return root


@pytest.fixture
def workspace(prepared, tmp_path):
    """Runs of its own over the shared prepared data."""
    for part in ("raw", "prepared"):
        (tmp_path / part).symlink_to(prepared / part)
    return tmp_path


@pytest.fixture(scope="module")
def killed(prepared):
    """Folder of all scenarios and their exit codes: interrupted, then run again."""
    results = prepared.parent / "codes.json"
    driver = Path(__file__).with_name("kill_driver.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, driver, prepared.parent, results], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return prepared.parent, json.loads(results.read_text())


def log_without_time(folder):
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_training_ends_as_the_unbroken_one(killed, name):
    root, codes = killed
    assert codes["unbroken"] == [0, 0]
    assert codes[name] == [-9, 0], (root / name / "second.txt").read_text()
    unbroken, resumed = root / "unbroken" / RUN_FOLDER, root / name / RUN_FOLDER
    assert (resumed / FINAL).read_bytes() == (unbroken / FINAL).read_bytes()
    assert len(log_without_time(unbroken)) == 2
    assert log_without_time(resumed) == log_without_time(unbroken)
    assert (resumed / RUN).read_bytes() == (unbroken / RUN).read_bytes()
    assert {path.name for path in resumed.iterdir()} == {path.name for path in unbroken.iterdir()}


@pytest.mark.parametrize(("name", "code", "update"), [("sigterm", 75, 2), ("sigint", 130, 4)])
def test_a_signal_stops_after_the_update_and_the_run_goes_on(killed, name, code, update):
    root, codes = killed
    assert codes[name] == [code, 0]
    said = (root / name / "first.txt").read_text().splitlines()
    assert said[-1] == f"autoseg: stopped after update {update} of 6: run the same command again to go on"
    unbroken, resumed = root / "unbroken" / RUN_FOLDER, root / name / RUN_FOLDER
    assert (resumed / FINAL).read_bytes() == (unbroken / FINAL).read_bytes()
    assert log_without_time(resumed) == log_without_time(unbroken)


def test_a_complete_run_is_left_alone(killed):
    root, _ = killed
    assert "is complete" in (root / "unbroken" / "second.txt").read_text()


@pytest.fixture
def trained(workspace, command):
    """One epoch of two updates, complete."""
    result = command(*TRAIN, "--epochs", "1", "--iterations-per-epoch", "2", workspace=workspace)
    assert result.code == 0, result.said
    return workspace


@pytest.mark.parametrize("damage", ["truncated", "no_metadata", "foreign"])
def test_a_damaged_checkpoint_is_one_line(trained, command, damage):
    path = trained / RUN_FOLDER / CHECKPOINT
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        import torch
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(1)}, path, {"autoseg": "{}"} if damage == "foreign" else None)
    result = command(*TRAIN, "--epochs", "2", "--iterations-per-epoch", "2", workspace=trained)
    assert result.code == 2
    problem = "belongs to a run with other settings" if damage == "foreign" else "is damaged ("
    assert result.lines[-1].startswith(f"autoseg: {path} {problem}")
    assert result.lines[-1].endswith("delete it to start this run anew")
    assert "Traceback" not in result.said


@pytest.mark.parametrize(
    ("changed", "names"),
    [(("--seed", "7"), "seed"), (("--set", "train.optimizer.learning_rate=0.5"), "method")],
)
def test_other_settings_are_refused_and_replaced_when_asked(trained, command, changed, names):
    folder = trained / RUN_FOLDER
    before = (folder / FINAL).read_bytes()
    length = ("--epochs", "1", "--iterations-per-epoch", "2")
    result = command(*TRAIN, *length, *changed, workspace=trained)
    assert result.code == 2
    assert result.lines == [
        f"autoseg: {folder} holds a run with another {names}: use the same settings, or add --replan to train it anew"
    ]
    assert (folder / FINAL).read_bytes() == before
    assert command(*TRAIN, *length, *changed, "--replan", workspace=trained).code == 0
    assert (folder / FINAL).read_bytes() != before
    after = (folder / FINAL).stat().st_mtime_ns
    assert command(*TRAIN, *length, *changed, "--replan", workspace=trained).code == 0
    assert (folder / FINAL).stat().st_mtime_ns == after, "nothing had changed, nothing was to be replaced"


def test_a_complete_run_is_extended(trained, command):
    folder = trained / RUN_FOLDER
    first = log_without_time(folder)
    result = command(*TRAIN, "--epochs", "3", "--iterations-per-epoch", "2", workspace=trained)
    assert result.code == 0
    assert "extending 1 epochs to 3" in result.said
    log = log_without_time(folder)
    assert log[:1] == first
    assert [line["update"] for line in log] == [2, 4, 6]
    assert json.loads((folder / RUN).read_text())["schedule"]["epochs"] == 3
    assert command(*TRAIN, workspace=trained).said.count("is complete") == 1, "no length asked, the run keeps its own"


def test_an_extension_keeps_the_length_of_an_epoch(trained, command):
    result = command(*TRAIN, "--epochs", "3", "--iterations-per-epoch", "5", workspace=trained)
    assert result.code == 2
    assert result.lines[-1].endswith("has epochs of 2 updates: extend it with --iterations-per-epoch 2")


def test_a_time_budget_is_planned_once_and_taken_up_where_it_was(workspace, command, monkeypatch):
    from autoseg.training import timing
    from autoseg.training.schedule import StepTime

    measured = []

    def measure(parts, *, clip):
        measured.append(clip)
        return StepTime(0.1 * len(measured), 0.1 * len(measured))

    monkeypatch.setattr(timing, "measure_step", measure)
    budget = ("--time-budget", "2s", "--iterations-per-epoch", "2")
    assert command(*TRAIN, *budget, workspace=workspace).code == 0
    folder = workspace / RUN_FOLDER
    schedule = json.loads((folder / RUN).read_text())["schedule"]
    assert schedule["seconds_per_step"] == 0.1
    lines = log_without_time(folder)
    # As after a kill: the final weights are missing, the same command measures nothing anew.
    (folder / FINAL).unlink()
    assert command(*TRAIN, *budget, workspace=workspace).code == 0
    assert (folder / FINAL).is_file()
    assert log_without_time(folder)[: len(lines)] == lines
    assert json.loads((folder / RUN).read_text())["schedule"] == schedule
    assert len(measured) == 1
    refused = command(*TRAIN, "--time-budget", "0.5s", "--replan", "--seed", "3", workspace=workspace)
    assert refused.code == 2
    assert "give at least ten updates" in refused.lines[-1]
