"""The submit stage: what is packed passes, and nothing else does."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from autoseg.core.errors import DatasetError, RegistryError, SubmissionError
from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.io import nifti
from autoseg.io.images import read_label, write_image, write_label
from autoseg.specs.dataset import Dataset
from autoseg.specs.prediction import PredictionRecord
from autoseg.specs.submission import Manifest
from autoseg.stages.submit import Options, run

DATASET = "Dataset004_Hippocampus"
TASK = "Task04_Hippocampus"
GRID = Geometry((5, 6, 7), (2.0, 1.0, 0.5), (1.0, 2.0, 3.0), ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0)))
CASES = ("hippocampus_002", "hippocampus_005")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path / "workspace")
    folder = found.raw_dataset(DATASET)
    labels: dict[str, int | tuple[int, ...]] = {"background": 0, "Anterior": 1, "Posterior": 2}
    Dataset(channel_names={"0": "MR"}, labels=labels, numTraining=0, file_ending=".nii.gz").save(
        folder / "dataset.json"
    )
    for case in CASES:
        write_image(folder / "imagesTs" / f"{case}_0000.nii.gz", np.ones(GRID.shape, np.float32), GRID)
    return found


@pytest.fixture
def options(tmp_path: Path, workspace: Workspace) -> Options:
    for value, case in enumerate(CASES, start=1):
        labels = np.zeros(GRID.shape, np.int16)
        labels[1:3, 2:4, 1:5] = value
        write_label(tmp_path / "masks" / f"{case}.nii.gz", labels, GRID)
    return Options(tmp_path / "masks", DATASET, output=tmp_path / "out" / "msd.zip")


def test_the_archive_is_as_the_decathlon_wants_it(
    options: Options, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    archive = run(options, workspace)
    with zipfile.ZipFile(archive) as file:
        assert file.namelist() == [f"{TASK}/{case}.nii.gz" for case in CASES]
        file.extractall(tmp_path / "unpacked")
    for case in CASES:
        path = tmp_path / "unpacked" / TASK / f"{case}.nii.gz"
        labels, geometry = read_label(path)
        assert np.array_equal(labels, read_label(options.input / f"{case}.nii.gz")[0])
        assert not geometry.differences(GRID)
        image = nifti.read_header(workspace.raw_dataset(DATASET) / "imagesTs" / f"{case}_0000.nii.gz")
        header = nib.load(path).header
        assert header.get_data_dtype() == np.uint8
        for name in ("srow_x", "srow_y", "srow_z", "qoffset_x", "quatern_b", "pixdim"):
            assert bytes(np.asarray(header[name])) == bytes(np.asarray(image[name]))
    assert f"{TASK}/{CASES[0]}.nii.gz: good" in caplog.text
    assert "absent here: Task01_BrainTumour, Task02_Heart, Task03_Liver, Task05_Prostate" in caplog.text


def test_the_manifest_says_what_is_in_it(options: Options, workspace: Workspace) -> None:
    record = PredictionRecord(
        dataset=DATASET, method="autoseg", model="0" * 12, configurations=("2d",), folds=(), mirror_axes=(),
        step_size=0.5, precision="float32",
    )  # fmt: skip
    record.save(options.input / "predict.json")
    archive = run(options, workspace)
    manifest = Manifest.load(archive.parent / "manifest.json")
    assert manifest.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert manifest.prediction == record
    assert [file.case for file in manifest.files] == list(CASES)
    with zipfile.ZipFile(archive) as opened:
        for file in manifest.files:
            assert hashlib.sha256(opened.read(file.path)).hexdigest() == file.sha256
    assert set(manifest.versions) == {"autoseg", "nibabel", "numpy"}
    first = archive.read_bytes()
    run(options, workspace)
    assert archive.read_bytes() == first  # equal masks, equal archive


def rewrite(options: Options, case: str, change: Callable[[np.ndarray], np.ndarray], grid: Geometry = GRID) -> None:
    path = options.input / f"{case}.nii.gz"
    labels = change(read_label(path)[0].astype(np.int16))
    write_label(path, labels, replace(grid, shape=labels.shape))


def missing(options: Options) -> None:
    (options.input / f"{CASES[1]}.nii.gz").unlink()


def extra(options: Options) -> None:
    shutil.copy(options.input / f"{CASES[1]}.nii.gz", options.input / "hippocampus_0005.nii.gz")


def wrong_shape(options: Options) -> None:
    rewrite(options, CASES[1], lambda labels: labels[:-1])


def wrong_value(options: Options) -> None:
    rewrite(options, CASES[1], lambda labels: labels * 2)


def wrong_grid(options: Options) -> None:
    rewrite(options, CASES[1], lambda labels: labels, replace(GRID, origin_mm=(1.0, 2.0, 4.0)))


def damaged(options: Options) -> None:
    (options.input / f"{CASES[1]}.nii.gz").write_bytes(b"no image")


FAULTS = [
    (missing, "hippocampus_005: it has no mask"),
    (extra, r"hippocampus_0005\.nii\.gz: no test case has this name"),
    (wrong_shape, r"hippocampus_005\.nii\.gz: its shape is \(4, 6, 7\), the image's \(5, 6, 7\)"),
    (wrong_value, "it holds the value 4, allowed are 0, 1, 2"),
    (wrong_grid, "it differs from its image in origin_mm"),
    (damaged, "cannot be read"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_masks_that_would_be_rejected_are_not_packed(
    fault: Callable[[Options], None], message: str, options: Options, workspace: Workspace
) -> None:
    fault(options)
    with pytest.raises(SubmissionError, match=message):
        run(options, workspace)
    assert options.output is not None
    assert not options.output.exists()


def test_the_number_of_bad_files_is_told(
    options: Options, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    for case in CASES:
        rewrite(options, case, lambda labels: labels + 7)
    with pytest.raises(SubmissionError, match=r"holds the value 7.* \(and 1 more\): predict these cases again"):
        run(options, workspace)
    assert all(case in caplog.text for case in CASES)


def tamper(archive: Path, name: str, content: bytes | None, rename: str | None = None) -> None:
    with zipfile.ZipFile(archive) as file:
        files = {each: file.read(each) for each in file.namelist()}
    original = files.pop(name)
    if content is not None or rename is not None:
        files[rename or name] = original if content is None else content
    with zipfile.ZipFile(archive, "w") as file:
        for each, data in files.items():
            file.writestr(each, data)


def mask_bytes(folder: Path, labels: np.ndarray) -> bytes:
    path = folder / "changed.nii.gz"
    write_label(path, labels, Geometry(labels.shape, GRID.spacing_mm, GRID.origin_mm, GRID.direction))
    return path.read_bytes()


def test_check_judges_an_archive_one_line_per_file(
    options: Options, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = run(options, workspace)
    check = Options(archive, DATASET, check=True)
    assert run(check, workspace) == archive
    name = f"{TASK}/{CASES[0]}.nii.gz"
    good = archive.read_bytes()
    wide = np.full(GRID.shape, 1000, np.int16)
    faults: list[tuple[bytes | None, str | None, str]] = [
        (None, None, "it is missing"),
        (mask_bytes(tmp_path, wide[1:]), None, "its shape is"),
        (mask_bytes(tmp_path, wide), None, "it holds the value 1000, allowed are 0, 1, 2; it is stored as uint16"),
        (b"no image", None, "cannot be read"),
        (None, f"{TASK}/imagesTs/{CASES[0]}.nii.gz", "it is missing"),
        (None, f"{CASES[0]}.nii.gz", "no test case has this name; expected are names such as Task04"),
    ]
    for content, rename, message in faults:
        archive.write_bytes(good)
        tamper(archive, name, content, rename)
        caplog.clear()
        with pytest.raises(SubmissionError):
            run(check, workspace)
        assert message in caplog.text


def test_check_sees_doubles_damage_and_other_files(options: Options, workspace: Workspace, tmp_path: Path) -> None:
    archive = run(options, workspace)
    check = Options(archive, DATASET, check=True)
    good = archive.read_bytes()
    name = f"{TASK}/{CASES[0]}.nii.gz"
    with zipfile.ZipFile(archive, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr(name, b"again")
    with pytest.raises(SubmissionError, match="it is there 2 times"):
        run(check, workspace)
    with zipfile.ZipFile(options.input / "masks.zip", "w") as file:
        file.writestr("notes.txt", b"")
    place = good.index(b"\x1f\x8b") + 30
    archive.write_bytes(good[:place] + bytes([good[place] ^ 255]) + good[place + 1 :])
    with pytest.raises(SubmissionError, match="is damaged"):
        run(check, workspace)
    archive.write_bytes(good[: len(good) // 2])
    with pytest.raises(SubmissionError, match=r"\.zip is cut off: copy or pack it again"):
        run(check, workspace)
    archive.write_bytes(b"no zip")
    with pytest.raises(SubmissionError, match="is neither a zip nor a tar"):
        run(check, workspace)
    with pytest.raises(SubmissionError, match=r"none\.zip cannot be read"):
        run(replace(check, input=tmp_path / "none.zip"), workspace)


def test_check_takes_an_unpacked_folder(options: Options, workspace: Workspace, tmp_path: Path) -> None:
    with zipfile.ZipFile(run(options, workspace)) as file:
        file.extractall(tmp_path / "unpacked")
    check = Options(tmp_path / "unpacked", DATASET, check=True)
    run(check, workspace)
    (tmp_path / "unpacked" / "notes.txt").write_text("")
    with pytest.raises(SubmissionError, match=r"notes\.txt: no test case has this name"):
        run(check, workspace)


def test_other_tasks_are_joined(options: Options, workspace: Workspace, tmp_path: Path) -> None:
    other = tmp_path / "liver.zip"
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("Task03_Liver/liver_140.nii.gz", b"a mask")
    archive = run(replace(options, join=(other,)), workspace)
    with zipfile.ZipFile(archive) as file:
        assert file.namelist()[0] == "Task03_Liver/liver_140.nii.gz"
    with pytest.raises(SubmissionError, match="is in two of the joined archives"):
        run(replace(options, join=(other, other)), workspace)
    with pytest.raises(SubmissionError, match="is of no other task"):
        run(replace(options, join=(archive,)), workspace)


def test_wrong_requests(options: Options, workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="give --output, or --check"):
        run(replace(options, output=None), workspace)
    with pytest.raises(RegistryError, match="unknown submission format 'msdd': did you mean 'msd'"):
        run(replace(options, format="msdd"), workspace)
    with pytest.raises(RegistryError, match="option 'task' = 'Hippocampus'"):
        run(replace(options, settings=(("task", "Hippocampus"),)), workspace)
    (tmp_path / "none").mkdir()
    with pytest.raises(DatasetError, match="no images in"):
        run(replace(options, images=tmp_path / "none"), workspace)
    with pytest.raises(DatasetError, match=r"nowhere is not a folder: name that of the images .* --images FOLDER"):
        run(replace(options, images=tmp_path / "nowhere"), workspace)


def test_the_task_can_be_named(options: Options, workspace: Workspace) -> None:
    archive = run(replace(options, settings=(("task", "Task07_Pancreas"),)), workspace)
    with zipfile.ZipFile(archive) as file:
        assert all(name.startswith("Task07_Pancreas/") for name in file.namelist())
    assert json.loads((archive.parent / "manifest.json").read_text())["dataset"] == DATASET
