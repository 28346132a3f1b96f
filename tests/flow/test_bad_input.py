"""Every kind of bad input ends in one line that names the file and the cure, exit code 2, and nothing half-written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.core.geometry import Geometry
from autoseg.io.images import read_image, read_label, write_image, write_label

NAME = "Dataset001_Tiny"
SHORT = ("-c", "3d_fullres", "-f", "0", "--epochs", "1", "--iterations-per-epoch", "2", "--device", "cpu")
QUIET = ("--log-level", "warning")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, raw_dataset):
    """A workspace with a model of two channels, to be copied or only read."""
    from autoseg.cli import run_command

    root = tmp_path_factory.mktemp("bad") / "workspace"
    raw_dataset(root / "raw" / NAME, channels=("T1", "T2"), endings=(".nii.gz",))
    assert run_command(["plan_and_train", "1", *SHORT, "--workspace", str(root), "--workers", "1"]) == 0
    return root


@pytest.fixture
def workspace(trained, tmp_path):
    """A fresh workspace with a copy of the raw data."""
    shutil.copytree(trained / "raw", tmp_path / "raw")
    return tmp_path


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit_image(path, change):
    image = read_image(path)
    array = image.array.astype(np.float32)
    change(array)
    write_image(path, array, image.geometry)


def with_nan(path):
    edit_image(path, lambda array: array.__setitem__((0, 3, 3, 3), np.nan))


def shorter(path):
    image = read_image(path)
    depth, *plane = image.geometry.shape
    write_image(path, image.array[:, 1:], Geometry((depth - 1, *plane), image.geometry.spacing_mm))


def unknown_label(path):
    labels, geometry = read_label(path)
    labels[0, 0, 0] = 9
    write_label(path, labels, geometry)


def fraction(path):
    edit_image(path, lambda array: array.__setitem__((0, 0, 0, 0), 1.5))


def half_written(root):
    return [path for path in root.rglob("*") if path.name.startswith(".partial")]


IMAGE, LABEL = "imagesTr/case_2_0001.nii.gz", "labelsTr/case_2.nii.gz"
TRAINING = [
    pytest.param(IMAGE, truncate, "cannot be read", "download or export it again", id="truncated image"),
    pytest.param(LABEL, truncate, "cannot be read", "download or export it again", id="truncated label"),
    pytest.param(IMAGE, with_nan, "1 voxels of", "replace them", id="NaN"),
    pytest.param(IMAGE, shorter, "differ in", "resample the channels of a case to one grid", id="channel shapes"),
    pytest.param(IMAGE, Path.unlink, "lacks channel 1 (T2)", "add case_2_0001.nii.gz", id="missing channel"),
    pytest.param(LABEL, unknown_label, "holds the label 9", "add the label to dataset.json", id="unknown label"),
    pytest.param(LABEL, fraction, "holds 1.5, which is no label", "store integer labels", id="no integer"),
    pytest.param(LABEL, shorter, "has the shape", "export the label on the image's grid", id="label shape"),
    pytest.param(LABEL, Path.unlink, "has no label", "add labelsTr/case_2", id="missing label"),
]


@pytest.mark.parametrize(("file", "damage", "problem", "cure"), TRAINING)
def test_a_bad_training_case_stops_the_pipeline(workspace, command, file, damage, problem, cure):
    damage(workspace / "raw" / NAME / file)
    for verb, options in (("fingerprint", ()), ("plan_and_train", SHORT)):
        result = command(verb, "1", *options, *QUIET, workspace=workspace)
        assert result.code == 2
        assert len(result.lines) == 1, result.said
        assert result.lines[0].startswith("autoseg: ")
        for part in ("case_2", problem, cure, "--skip-bad-cases"):
            assert part in result.lines[0]
    assert not (workspace / "prepared" / NAME / "fingerprint.json").exists()
    assert not (workspace / "runs").exists()
    assert half_written(workspace) == []


def test_every_bad_case_is_named(workspace, command):
    truncate(workspace / "raw" / NAME / "imagesTr" / "case_0_0000.nii.gz")
    unknown_label(workspace / "raw" / NAME / "labelsTr" / "case_4.nii.gz")
    (workspace / "raw" / NAME / "imagesTr" / "case_3_0000.nii.gz").unlink()
    result = command("fingerprint", "1", *QUIET, workspace=workspace)
    assert result.code == 2
    assert len(result.lines) == 1
    for part in ("3 bad cases", "case_0_0000.nii.gz", "labelsTr/case_4.nii.gz", "add case_3_0000.nii.gz"):
        assert part in result.lines[0]


def test_bad_cases_are_skipped_when_asked(workspace, command):
    (workspace / "raw" / NAME / IMAGE).unlink()
    unknown_label(workspace / "raw" / NAME / "labelsTr" / "case_4.nii.gz")
    result = command("plan_and_train", "1", *SHORT, "--skip-bad-cases", workspace=workspace)
    assert result.code == 3, result.said
    for case in ("case_2", "case_4"):
        assert any(line.startswith(f"plan_and_train: {case} is left out: ") for line in result.lines)
    stored = sorted(path.name for path in (workspace / "prepared" / NAME).glob("cases_*/case_*"))
    assert stored == ["case_0", "case_1", "case_3"]
    assert (workspace / "models" / NAME / "autoseg" / "model.json").is_file()
    assert command("preprocess", "1", "-c", "3d_fullres", workspace=workspace).code == 3


def test_a_case_that_breaks_after_the_fingerprint_stops_preprocessing(workspace, command):
    assert command("fingerprint", "1", workspace=workspace).code == 0
    assert command("plan", "1", "--device", "cpu", workspace=workspace).code == 0
    truncate(workspace / "raw" / NAME / IMAGE)
    result = command("preprocess", "1", workspace=workspace)
    assert result.code == 2
    assert "could not be prepared; case_2: " in result.lines[-1]
    assert half_written(workspace) == []


def test_the_geometry_of_the_image_wins(workspace, command):
    path = workspace / "raw" / NAME / LABEL
    labels, geometry = read_label(path)
    write_label(path, labels, Geometry(geometry.shape, geometry.spacing_mm, (50.0, 0.0, 0.0), geometry.direction))
    result = command("plan_and_train", "1", *SHORT, workspace=workspace)
    assert result.code == 0
    assert f"{path} differs from its image in origin_mm; the image's is used" in result.said


PREDICTION = [
    pytest.param("scan_6_0001.nii.gz", truncate, "cannot be read", "download or export it again", id="truncated"),
    pytest.param("scan_6_0000.nii.gz", with_nan, "are NaN or infinite", "replace them", id="NaN"),
    pytest.param("scan_6_0001.nii.gz", shorter, "differ in", "resample the channels", id="channel shapes"),
    pytest.param("scan_6_0001.nii.gz", Path.unlink, "lacks channel 1 (T2)", "add scan_6_0001.nii.gz", id="channel"),
]


@pytest.mark.parametrize(("file", "damage", "problem", "cure"), PREDICTION)
def test_a_bad_image_is_named_and_the_others_are_segmented(trained, command, tmp_path, file, damage, problem, cure):
    images, masks = tmp_path / "images", tmp_path / "masks"
    shutil.copytree(trained / "raw" / NAME / "imagesTs", images)
    damage(images / file)
    arguments = ("predict", "-i", images, "-o", masks, "--device", "cpu", "--disable-tta", *QUIET)
    result = command(*arguments, workspace=trained)
    assert result.code == 3
    assert len(result.lines) == 1, result.said
    for part in ("scan_6", problem, cure):
        assert part in result.lines[0]
    assert sorted(path.name for path in masks.glob("*.nii.gz")) == ["scan_5.nii.gz", "scan_7.nii.gz"]
    # Again: the good ones are kept, the bad one is named again.
    assert command(*arguments, workspace=trained).code == 3
    for path in images.glob("scan_[57]*"):
        path.unlink()
    alone = command(*arguments[:4], tmp_path / "alone", *arguments[5:], workspace=trained)
    assert alone.code == 2
    assert len(alone.lines) == 1, alone.said
    assert problem in alone.lines[0]
    assert list((tmp_path / "alone").glob("*.nii.gz")) == []
    assert half_written(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fingerprint", "77"), "no data set '77' in"),
        (("fingerprint", "Tinny"), "no data set 'Tinny' in"),
        (("plan_and_train", "1", "--method", "nnunett"), "no method 'nnunett'"),
        (("plan_and_train", "1", "--metod", "nnunet"), "--metod"),
        (("plan_and_train", "1", "--set", "train.epoch=3"), "epoch"),
        (("plan", "1", "--set", "train.loss={name='dise'}"), "unknown loss 'dise': did you mean 'dice'?"),
        (
            ("plan", "1", "--set", "train.augment=[{name='miror'}]"),
            "unknown augmentation 'miror': did you mean 'mirror'?",
        ),
        (("plan", "1", "--set", "train.sampler.options={shar=1}"), "option 'shar' = 1: did you mean 'share'?"),
        (("plan", "1", "--set", "plan.normalization=[{name='zscor'}]"), "did you mean 'zscore'?"),
        (
            ("plan", "1", "--set", "plan.normalization=[{name='hu_window'}]", "--device", "cpu"),
            "channel 'T1' is not CT, which this method's normalisation (hu_window) is for: choose another method",
        ),
        (("plan_and_train", "1", "-c", "3d_ful"), "3d_ful"),
        (("plan_and_train", "1", "-c", "3d_fullres", "-f", "9", "--device", "cpu"), "there is no fold '9'"),
        (("plan_and_train", "1", "--device", "gpu"), "unknown device 'gpu'"),
        (("plan_and_train", "1", "--time-budget", "soon"), "soon"),
        (("plan_and_train", "1", "--train-fraction", "1.5"), "the training fraction is 1.5: give one above 0"),
        (("train", "1", "--train-fraction", "0"), "the training fraction is 0: give one above 0"),
        (("plan_and_train", "1", "--epochs", "many"), "many"),
        (("predikt", "-i", "x"), "predikt"),
        (("predict", "-i", "nowhere", "-o", "out"), "nowhere is not a folder: check the path"),
        (("predict", "-i", "nowhere", "-o", "out", "-m", "nowhere"), "nowhere is not a model folder"),
        (("predict", "-i", "nowhere"), "output"),
    ],
)
def test_a_mistyped_command_is_one_line(trained, command, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = command(*arguments, *QUIET, workspace=trained)
    assert result.code == 2
    assert len(result.lines) == 1, result.said
    assert said in result.lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mistake", [("--method", "nnunett"), ("--set", "train.epoch=3"), ("--device", "gpu")])
def test_mistakes_are_told_before_any_case_is_read(workspace, command, mistake):
    assert command("plan_and_train", "1", *mistake, workspace=workspace).code == 2
    assert not (workspace / "prepared").exists()


def test_an_empty_folder_of_images_is_named(trained, command, tmp_path):
    (tmp_path / "empty").mkdir()
    result = command("predict", "-i", tmp_path / "empty", "-o", tmp_path / "out", workspace=trained)
    assert result.code == 2
    assert (
        result.said
        == f"autoseg: no images in {tmp_path / 'empty'}: put files ending in {result.said.split(' in ')[-1]}"
    )
    assert not (tmp_path / "out").exists()


def test_an_empty_training_folder_is_named(workspace, command):
    for name in ("imagesTr", "labelsTr"):
        shutil.rmtree(workspace / "raw" / NAME / name)
        (workspace / "raw" / NAME / name).mkdir()
    result = command("plan_and_train", "1", workspace=workspace)
    assert result.code == 2
    problem = f"{NAME}/dataset.json says numTraining = 5, but there are 0"
    assert result.lines == [f"autoseg: {problem}: correct the number or complete the folders"]


def test_an_output_under_a_file_is_named(trained, command, tmp_path):
    (tmp_path / "file").write_text("in the way")
    output = tmp_path / "file" / "masks"
    images = trained / "raw" / NAME / "imagesTs"
    result = command("predict", "-i", images, "-o", output, *QUIET, workspace=trained)
    assert result.code == 2
    assert result.lines == [
        f"autoseg: cannot write {output} (Not a directory): a part of this path is a file; choose another folder"
    ]


def test_masks_are_not_written_among_the_images(trained, command):
    images = trained / "raw" / NAME / "imagesTs"
    result = command("predict", "-i", images, "-o", images, *QUIET, workspace=trained)
    assert result.code == 2
    assert result.lines == [f"autoseg: {images} is where the images are: choose another output folder"]


WRITTEN = (
    "fingerprint_cases.npz",
    "fingerprint.json",
    "plan.json",
    "splits.json",
    "image*",
    "run.json",
    "checkpoint_latest.safetensors",
    "weights_best.safetensors",
    "weights_final.safetensors",
    "validation/*/case_*.nii.gz",
    "report.json",
    "3d_fullres_fold_0.safetensors",
    "model.json",
)
"""By one command, in this order."""


def test_a_full_disk_is_one_line_and_the_command_goes_on_later(workspace, command, full_disk, monkeypatch):
    """The disk is full again and again, each time a file later; what was written before is kept."""
    for pattern in WRITTEN:
        full_disk(pattern)
        result = command("plan_and_train", "1", *SHORT, *QUIET, workspace=workspace)
        monkeypatch.undo()
        assert result.code == 2, f"{pattern}: {result.said}"
        assert len(result.lines) == 1, f"{pattern}: {result.said}"
        assert "(No space left on device): free some space or choose another --workspace" in result.lines[0]
        named = "case_0" if pattern == "image*" else Path(pattern).name.split("*")[0]
        assert named in result.lines[0], "what was to be written"
        assert half_written(workspace) == []
    assert command("plan_and_train", "1", *SHORT, workspace=workspace).code == 0


def out_of_memory(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_a_full_gpu_is_one_line_and_the_command_goes_on_later(trained, workspace, command, monkeypatch, tmp_path):
    monkeypatch.setattr("autoseg.training.step.autocast", out_of_memory)
    result = command("plan_and_train", "1", *SHORT, *QUIET, workspace=workspace)
    assert (result.code, len(result.lines)) == (2, 1), result.said
    assert "the memory of cpu is full: end what else uses it and go on by the same command" in result.said
    monkeypatch.undo()
    assert command("plan_and_train", "1", *SHORT, *QUIET, workspace=workspace).code == 0
    monkeypatch.setattr("autoseg.inference.sliding.mean_logits", out_of_memory)
    images = trained / "raw" / NAME / "imagesTs"
    folders = ("-i", images, "-o", tmp_path / "masks")
    result = command("predict", *folders, "--device", "cpu", *QUIET, workspace=trained)
    assert result.code == 2
    assert "the memory of cpu is full: end what else uses it, or predict with --device cpu" in result.lines[0]
    monkeypatch.undo()
    assert command("predict", *folders, "--device", "cpu", *QUIET, workspace=trained).code == 0


@pytest.fixture
def small_disk(tmp_path):
    """`small_disk(folder, bytes)` mounts a real file system of that size."""
    mounted = []

    def mount(folder, size):
        folder.mkdir(parents=True, exist_ok=True)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
        if made.returncode:
            pytest.skip("mounting a small disk is not allowed here")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def test_masks_on_a_really_full_disk(trained, command, small_disk, tmp_path):
    masks = tmp_path / "masks"
    small_disk(masks, 4096)
    images = trained / "raw" / NAME / "imagesTs"
    result = command("predict", "-i", images, "-o", masks, "--device", "cpu", *QUIET, workspace=trained)
    assert result.code == 2
    assert len(result.lines) == 1, result.said
    assert "(No space left on device): free some space" in result.lines[0]
    assert [path.name for path in masks.iterdir()] == ["predict.json"]


def test_training_on_a_really_full_disk(trained, command, small_disk, tmp_path):
    for part in ("raw", "prepared"):
        (tmp_path / part).symlink_to(trained / part)
    small_disk(tmp_path / "runs", 64 * 1024)
    result = command("plan_and_train", "1", *SHORT, *QUIET, workspace=tmp_path)
    assert result.code == 2
    assert len(result.lines) == 1, result.said
    assert "weights_best.safetensors (No space left on device): free some space" in result.lines[0]
    assert half_written(tmp_path) == []


def test_a_workspace_on_a_really_full_disk(trained, command, small_disk, tmp_path):
    small_disk(tmp_path / "workspace", 8192)
    (tmp_path / "workspace" / "raw").symlink_to(trained / "raw")
    (tmp_path / "workspace" / "filling").write_bytes(bytes(8192))
    result = command("fingerprint", "1", workspace=tmp_path / "workspace")
    assert result.code == 2
    assert result.lines[-1].endswith(
        "(No space left on device): free some space or choose another --workspace or output folder"
    )
    assert "Traceback" not in result.said
