"""Masks given back as DICOM: in the place of their scan, readable as a scan, and every harm found by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from autoseg.core.errors import SubmissionError
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.io.archive import file_entry
from autoseg.io.dicom import read_series, volume_of
from autoseg.io.images import read_header, read_image, write_label
from autoseg.specs.dataset import Dataset
from autoseg.stages import convert, submit

MODEL = "Dataset005_Model"
SPEC = Dataset(
    channel_names={"0": "CT"}, labels={"background": 0, "liver": 1, "tumor": 2}, numTraining=0, file_ending=".nii.gz"
)


@pytest.fixture
def given(tmp_path: Path) -> submit.Options:
    """Two converted studies, their masks in a prediction's folder, and the data set of a model."""
    source = load_converter("dicom").example(tmp_path / "source")
    workspace = Workspace(tmp_path / "workspace")
    folder = convert.run(convert.Options("dicom", source, id=6, workers=1), workspace)
    for image in (folder / "imagesTs").iterdir():
        grid = read_header(image)
        labels = np.random.default_rng(len(image.name)).integers(0, 3, grid.shape).astype(np.uint8)
        write_label(tmp_path / "masks" / image.name.replace("_0000", ""), labels, grid)
    SPEC.save(workspace.raw_dataset(MODEL) / "dataset.json")
    return submit.Options(
        tmp_path / "masks",
        MODEL,
        output=tmp_path / "out",
        format="dicom",
        settings=(("source", str(source)),),
        images=folder / "imagesTs",
    )


def send(options: submit.Options, **changes: Any) -> Path:
    assert options.images is not None
    return submit.run(replace(options, **changes), Workspace(options.images.parents[2]))


def test_masks_lie_where_their_scans_do(given: submit.Options) -> None:
    out = send(given)
    for case in ("first", "second"):
        series, _ = read_series([file_entry(path) for path in (out / case).iterdir()], strict=True)
        assert len(series) == 1
        labels, grid = volume_of(series[0])
        mask = read_image(given.input / f"{case}.nii.gz")
        assert np.array_equal(labels, mask.array[0])
        assert grid.differences(mask.geometry) == ()
    assert (out.parent / "manifest.json").is_file()


def test_they_belong_to_the_study_and_are_the_same_again(given: submit.Options) -> None:
    out = send(given)
    made = dcmread(out / "second" / "0001.dcm")
    scan = next(
        found
        for path in (given.input.parent / "source" / "studies" / "second").iterdir()
        if (found := dcmread(path)).ImagePositionPatient == made.ImagePositionPatient
    )
    for keyword in ("PatientID", "StudyInstanceUID", "ImageOrientationPatient", "PixelSpacing", "InstanceNumber"):
        assert made[keyword].value == scan[keyword].value
    assert made.SOPInstanceUID != scan.SOPInstanceUID
    assert (made.SeriesInstanceUID != scan.SeriesInstanceUID, made.SeriesNumber) == (True, 9003)
    again = send(given, output=out.with_name("again"))
    for path in out.rglob("*.dcm"):
        assert path.read_bytes() == (again / path.relative_to(out)).read_bytes()


def other_size(path: Path) -> None:
    found = dcmread(path)
    found.Rows, found.PixelData = found.Rows - 1, found.PixelData[: -2 * found.Columns]
    found.save_as(path)


def other_place(path: Path) -> None:
    found = dcmread(path)
    found.ImagePositionPatient = [0, 0, 999]
    found.save_as(path)


def other_value(path: Path) -> None:
    found = dcmread(path)
    found.PixelData = np.full((found.Rows, found.Columns), 7, "<u2").tobytes()
    found.save_as(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def text(path: Path) -> None:
    path.write_text("no image")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (other_size, r"its shape is \(7, 10\), the scan's slice has \(8, 10\)"),
        (other_place, r"it lies at \(0.0, 0.0, 999.0\), the scan's slice at"),
        (other_value, "it holds the value 7, allowed are 0, 1, 2"),
        (cut, "it cannot be read"),
        (text, "it is no DICOM file"),
        (Path.unlink, "first/0002.dcm"),
    ],
)
def test_harm_is_named(given: submit.Options, harm: Callable[[Path], None], message: str) -> None:
    out = send(given)
    send(given, input=out, check=True)
    harm(out / "first" / "0002.dcm")
    with pytest.raises(SubmissionError, match=message):
        send(given, input=out, check=True)


def test_scans_that_are_not_found_or_are_there_twice(given: submit.Options, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SubmissionError, match=r"no series in .*empty lies where first_0000\.nii\.gz does: name the"):
        send(given, settings=(("source", str(tmp_path / "empty")),))
    twice = tmp_path / "twice"
    shutil.copytree(tmp_path / "source" / "studies", twice)
    for path in sorted((twice / "first" / "scan").iterdir()):
        found = dcmread(path)
        found.SeriesInstanceUID += ".1"
        found.SOPInstanceUID += ".1"
        found.save_as(path.with_name(f"{path.name}x"))
    with pytest.raises(SubmissionError, match=r"2 series lie where first_0000.* does .*: name the folder of one"):
        send(given, settings=(("source", str(twice)),))


def test_an_irregular_series_is_passed_over(given: submit.Options, tmp_path: Path) -> None:
    other = tmp_path / "source" / "studies" / "gap"
    other.mkdir()
    for index in (0, 1, 4):
        path = sorted((tmp_path / "source" / "studies" / "second").iterdir())[index]
        found = dcmread(path)
        found.SeriesInstanceUID += ".7"
        found.SOPInstanceUID += ".7"
        found.save_as(other / path.name)
    assert len(list(send(given).rglob("*.dcm"))) == 22


def test_nothing_is_written_without_a_mask_of_every_case(given: submit.Options) -> None:
    (given.input / "second.nii.gz").unlink()
    with pytest.raises(SubmissionError, match="second: it has no mask in"):
        send(given)
    assert not (given.input.parent / "out").exists()
