"""The whole job by the real command line on a small data set: what a user types, and what lies on disk afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import run_command
from autoseg.io.images import read_image, read_label
from autoseg.specs.model import Model
from autoseg.specs.report import Report
from autoseg.specs.splits import Splits

NAME = "Dataset001_Tiny"
FIGURES = True
SHORT = ("--epochs", "1", "--iterations-per-epoch", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, raw_dataset):
    """Two configurations trained by one command; files of three formats."""
    root = tmp_path_factory.mktemp("job")
    raw_dataset(root / "raw" / NAME)
    arguments = ["plan_and_train", "-d", "1", "-c", "2d", "3d_fullres", "-f", "0", *SHORT]
    assert run_command([*arguments, "--workspace", str(root), "--workers", "1"]) == 0
    return root


@pytest.fixture(scope="module")
def masks(workspace):
    """The test images, predicted by the only model."""
    folder = workspace / "masks"
    arguments = ["predict", "-i", str(workspace / "raw" / NAME / "imagesTs"), "-o", str(folder), "--device", "cpu"]
    assert run_command([*arguments, "--workspace", str(workspace)]) == 0
    return folder


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and "logs" not in path.parts}


def test_one_command_leaves_a_model(workspace):
    folder = workspace / "models" / NAME / "autoseg"
    model = Model.load(folder / "model.json")
    assert set(model.members) == {"2d", "3d_fullres"}
    assert set(model.selected) <= set(model.members)
    for member in model.members.values():
        assert all((folder / path).is_file() for path in member.weights.values())
    assert (folder / "card.md").read_text().startswith("#")
    for configuration in ("2d", "3d_fullres"):
        run = workspace / "runs" / NAME / "autoseg" / configuration / "fold_0"
        assert {"run.json", "log.jsonl", "curves.png", "weights_final.safetensors"} <= {
            path.name for path in run.iterdir()
        }
        assert {"confusion.png", "samples.png"} <= {path.name for path in (run / "validation").iterdir()}
        held_out = Splits.load(workspace / "prepared" / NAME / "autoseg" / "splits.json").fold("0").val
        assert tuple(case.id for case in Report.load(run / "validation" / "report.json").cases) == held_out


def test_the_same_command_again_does_nothing(workspace, command):
    before = written(workspace)
    result = command("plan_and_train", "1", "-c", "2d", "3d_fullres", "-f", "0", *SHORT, workspace=workspace)
    assert result.code == 0
    kept = written(workspace)
    changed = {path.relative_to(workspace).parts[0] for path in before if kept[path] != before[path]}
    assert changed <= {"models"}, "the model folder is packed anew, nothing else"


def test_masks_take_format_and_grid_of_their_image(workspace, masks):
    images = sorted((workspace / "raw" / NAME / "imagesTs").iterdir())
    assert sorted(path.name for path in masks.iterdir() if path.name != "predict.json") == sorted(
        path.name.replace("_0000", "") for path in images
    )
    assert {"".join(path.suffixes) for path in images} == {".nii.gz", ".nrrd", ".mha"}
    for path in images:
        labels, geometry = read_label(masks / path.name.replace("_0000", ""))
        assert geometry.differences(read_image(path).geometry) == ()
        assert set(np.unique(labels)) <= {0, 1, 2}


def test_a_second_prediction_predicts_nothing(workspace, masks, command):
    images = workspace / "raw" / NAME / "imagesTs"
    before = written(masks)
    result = command("predict", "-i", images, "-o", masks, "--device", "cpu", workspace=workspace)
    assert result.code == 0
    assert "3 of 3 masks are there already" in result.said
    assert written(masks) == before
    # A mask that is missing, as after a kill, is the only one made.
    missing = next(masks.glob("*.nrrd"))
    content = missing.read_bytes()
    missing.unlink()
    assert command("predict", "-i", images, "-o", masks, "--device", "cpu", workspace=workspace).code == 0
    after = written(masks)
    assert missing.read_bytes() == content
    assert {path for path in before if before[path] != after[path]} <= {missing, masks / "predict.json"}
    other = command("predict", "-i", images, "-o", masks, "--disable-tta", "--device", "cpu", workspace=workspace)
    assert other.code == 2
    assert other.lines[-1].endswith("add --overwrite, or choose another folder")


def test_the_python_api_gives_the_masks_of_the_command(workspace, masks):
    from autoseg.inference.predictor import Predictor

    predictor = Predictor.load(workspace / "models" / NAME / "autoseg", device="cpu")
    for path in sorted((workspace / "raw" / NAME / "imagesTs").iterdir()):
        prediction = predictor.predict(path)
        labels, geometry = read_label(masks / path.name.replace("_0000", ""))
        np.testing.assert_array_equal(prediction.labels, labels)
        assert prediction.geometry.differences(geometry) == ()


def test_the_script_gives_the_masks_of_the_command(workspace, masks, tmp_path):
    script = Path(sys.executable).with_name("autoseg_predict")
    if not script.is_file():
        pytest.skip("the package is not installed here")
    images = workspace / "raw" / NAME / "imagesTs"
    arguments = ["-i", images, "-o", tmp_path / "out", "--device", "cpu", "-d", "Tiny", "-f", "0"]
    environment = {**os.environ, "AUTOSEG_WORKSPACE": str(workspace), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([script, *arguments], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for path in masks.iterdir():
        if path.name != "predict.json":
            assert np.array_equal(read_label(tmp_path / "out" / path.name)[0], read_label(path)[0])


def test_members_and_one_image(workspace, tmp_path, command):
    image = next((workspace / "raw" / NAME / "imagesTs").glob("*.mha"))
    mask = tmp_path / "mask.nii.gz"
    arguments = ("-m", workspace / "models" / NAME / "autoseg", "--device", "cpu", "--save-probabilities")
    result = command("predict", "-i", image, "-o", mask, *arguments, "-c", "2d,3d_fullres", workspace=tmp_path / "none")
    assert result.code == 0, result.said
    assert read_label(mask)[1].shape == read_image(image).geometry.shape
    assert any((tmp_path / "probabilities").rglob("*"))


def test_evaluation_scores_the_masks(workspace, masks, tmp_path, command):
    report = tmp_path / "report.json"
    references = workspace / "raw" / NAME / "labelsTs"
    result = command("evaluate", "-i", masks, "-r", references, "-o", report, "-d", "1", workspace=workspace)
    assert result.code == 0, result.said
    assert {case.id for case in Report.load(report).cases} == {"scan_5", "scan_6", "scan_7"}
    assert report.with_suffix(".csv").is_file()
    self_scored = command("evaluate", "-i", references, "-r", references, "-o", report, "-d", "1", workspace=workspace)
    assert self_scored.code == 0
    assert all(case.regions["organ"]["dice"].value == 1.0 for case in Report.load(report).cases)


def test_spellings_of_one_command_are_equal(workspace, command):
    """`_` and `-`, commas and spaces, positions and flags."""
    before = written(workspace / "runs")
    for arguments in (
        ("plan-and-train", "--dataset", "Tiny", "-c", "2d,3d_fullres", "-f", "0"),
        ("plan_and_train", NAME, "-c", "2d", "-c", "3d_fullres", "--folds", "0"),
        ("plan_and_train", "-d", "001", "--configurations", "2d", "3d_fullres", "-f", "0"),
    ):
        underscored = ("--epochs", "1", "--iterations_per_epoch", "2", "--device", "cpu")
        for length in (SHORT, underscored):
            result = command(*arguments, *length, workspace=workspace)
            assert result.code == 0, result.said
    assert written(workspace / "runs") == before


def test_regions_are_trained_and_predicted(tmp_path, raw_dataset, command):
    labels = {"background": 0, "organ": [1, 2], "lesion": [2]}
    folder = raw_dataset(tmp_path / "raw" / "Dataset002_Regions", labels=labels, regions_class_order=[1, 2])
    result = command("plan_and_train", "2", "-c", "3d_fullres", "-f", "0", *SHORT, workspace=tmp_path)
    assert result.code == 0, result.said
    images, out = folder / "imagesTs", tmp_path / "out"
    assert command("predict", "-i", images, "-o", out, "--device", "cpu", workspace=tmp_path).code == 0
    assert {value for path in out.glob("scan*") for value in np.unique(read_label(path)[0])} <= {0, 1, 2}
    references = folder / "labelsTs"
    arguments = ("-r", references, "-o", tmp_path / "report.json", "-d", "2")
    assert command("evaluate", "-i", references, *arguments, workspace=tmp_path).code == 0
    assert set(Report.load(tmp_path / "report.json").cases[0].regions) == {"organ", "lesion"}


def test_the_ignore_label_is_never_predicted(tmp_path, raw_dataset, command):
    labels = {"background": 0, "organ": 1, "lesion": 2, "ignore": 3}
    folder = raw_dataset(tmp_path / "raw" / "Dataset003_Ignore", labels=labels, ignore=3)
    result = command("plan_and_train", "3", "-c", "3d_fullres", "-f", "0", *SHORT, workspace=tmp_path)
    assert result.code == 0, result.said
    out = tmp_path / "out"
    assert command("predict", "-i", folder / "imagesTs", "-o", out, "--device", "cpu", workspace=tmp_path).code == 0
    assert {value for path in out.glob("scan*") for value in np.unique(read_label(path)[0])} <= {0, 1, 2}


def test_given_splits_are_used(tmp_path, raw_dataset, command):
    folder = raw_dataset(tmp_path / "raw" / NAME)
    folds = [{"train": ["case_0", "case_1", "case_2"], "val": ["case_3", "case_4"]}]
    (folder / "splits_final.json").write_text(json.dumps(folds))
    assert command("plan_and_train", "1", "-c", "2d", *SHORT, workspace=tmp_path).code == 0
    runs = tmp_path / "runs" / NAME / "autoseg" / "2d"
    assert [path.name for path in runs.iterdir()] == ["fold_0"]
    found = json.loads((runs / "fold_0" / "run.json").read_text())
    assert found["val_cases"] == ["case_3", "case_4"]
    assert {case.id for case in Report.load(runs / "fold_0" / "validation" / "report.json").cases} == {
        "case_3",
        "case_4",
    }


def test_a_run_that_is_extended_is_scored_and_packed_anew(workspace, command, tmp_path):
    for part in ("raw", "prepared"):
        (tmp_path / part).symlink_to(workspace / part)
    shutil.copytree(workspace / "runs", tmp_path / "runs")
    run = tmp_path / "runs" / NAME / "autoseg" / "2d" / "fold_0"
    report = (run / "validation" / "report.json").stat().st_mtime_ns
    longer = ("--epochs", "2", "--iterations-per-epoch", "2", "--device", "cpu")
    result = command("plan_and_train", "1", "-c", "2d", "-f", "0", *longer, workspace=tmp_path)
    assert result.code == 0, result.said
    assert "extending 1 epochs to 2" in result.said
    assert (run / "validation" / "report.json").stat().st_mtime_ns > report
    packed = tmp_path / "models" / NAME / "autoseg" / "weights" / "2d_fold_0.safetensors"
    assert packed.read_bytes() == (run / "weights_final.safetensors").read_bytes()


def test_the_phantom_converts_by_the_command(tmp_path, command):
    options = ("--option", "size=16x24x24", "--option", "cases=3", "--option", "test_cases=1")
    assert command("convert", "phantom", "--id", "9", *options, workspace=tmp_path).code == 0
    assert len(list((tmp_path / "raw" / "Dataset009_PhantomLiver" / "labelsTr").iterdir())) == 3
    assert command("fingerprint", "9", workspace=tmp_path).code == 0
    again = command("convert", "phantom", "--id", "9", *options, workspace=tmp_path)
    assert "4 cases, 0 to convert" in again.said
