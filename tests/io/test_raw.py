"""Raw data sets: which files make which case, and every way in which they can be wrong."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.core.errors import DatasetError, SpecError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.io.images import write_image, write_label
from autoseg.io.raw import RawCase, RawDataset, check_labels, find_images, read_case, unknown_labels

GRID = Geometry((3, 4, 5), (3.0, 1.0, 1.0))
LABELS = LabelSpace.parse({"background": 0, "liver": 1, "tumour": 2})


def image(path: Path, *, channels: int = 1, grid: Geometry = GRID) -> Path:
    write_image(path, np.ones((channels, *grid.shape), np.float32), grid)
    return path


def label(path: Path, *, value: int = 1, grid: Geometry = GRID) -> Path:
    array = np.zeros(grid.shape, np.uint8)
    array[1, 1, 1] = value
    write_label(path, array, grid)
    return path


def dataset(folder: Path, *, cases: tuple[str, ...] = ("a", "b"), **changes: Any) -> Path:
    for case in cases:
        for channel in range(2):
            image(folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz")
        label(folder / "labelsTr" / f"{case}.nii.gz")
    folder.mkdir(exist_ok=True)
    values = {
        "channel_names": {"0": "FLAIR", "1": "T1"},
        "labels": {"background": 0, "whole": [1, 2], "core": 2},
        "regions_class_order": [1, 2],
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    } | changes
    (folder / "dataset.json").write_text(json.dumps(values))
    return folder


def test_open_and_read(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "Dataset001_X", cases=("b", "a"))
    image(folder / "imagesTs" / "t_0000.nii.gz")
    image(folder / "imagesTs" / "t_0001.mha")
    label(folder / "labelsTs" / "t.nii.gz")
    (folder / "imagesTr" / "._a_0000.nii.gz").write_bytes(b"junk")
    opened = RawDataset.open(folder)
    assert opened.name == "Dataset001_X"
    assert [case.case_id for case in opened.training] == ["a", "b"]
    assert [path.name for path in opened.test[0].images] == ["t_0000.nii.gz", "t_0001.mha"]
    assert opened.test[0].label == folder / "labelsTs" / "t.nii.gz"
    assert opened.labels.is_regions
    array, geometry, labels = read_case(opened.training[0], channels=opened.spec.channels())
    assert (array.shape, array.dtype, geometry) == ((2, 3, 4, 5), np.float32, GRID)
    assert labels is not None
    assert array.flags.writeable


def test_cases_may_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    image(elsewhere / "x.nii.gz", channels=2)
    label(elsewhere / "y.nii.gz")
    monkeypatch.setenv("SCANS", str(elsewhere))
    listed = {
        "absolute": {"images": [str(elsewhere / "x.nii.gz")], "label": str(elsewhere / "y.nii.gz")},
        "relative": {"images": ["../elsewhere/x.nii.gz"], "label": "../elsewhere/y.nii.gz"},
        "variable": {"images": ["$SCANS/x.nii.gz"], "label": "${SCANS}/y.nii.gz"},
    }
    opened = RawDataset.open(dataset(tmp_path / "d", cases=(), dataset=listed, numTraining=3))
    assert [case.case_id for case in opened.training] == ["absolute", "relative", "variable"]
    for case in opened.training:
        assert read_case(case, channels=2)[0].shape == (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"images": ["gone.nii.gz"], "label": "l.nii.gz"}, "listed in dataset.json, does not exist: correct the path"),
        ({"images": ["$NOT_SET_X/a.nii.gz"], "label": "l.nii.gz"}, "environment variable that is not set"),
        ({"images": ["l.nii.gz"] * 3, "label": "l.nii.gz"}, "case c lists 3 images for 2 channels"),
    ],
)
def test_wrong_lists(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    folder = dataset(tmp_path, cases=(), dataset={"c": files}, numTraining=1)
    label(folder / "l.nii.gz")
    with pytest.raises(DatasetError, match=message) as caught:
        RawDataset.open(folder)
    assert caught.value.case_id == "c"


def test_wrong_folders(tmp_path: Path) -> None:
    folder = dataset(tmp_path, numTraining=3)
    with pytest.raises(DatasetError, match=r"numTraining = 3, but there are 2: correct the number"):
        RawDataset.open(folder)
    label(folder / "labelsTr" / "c.nii.gz")
    with pytest.raises(DatasetError, match=r"c\.nii\.gz has no image in imagesTr: add its image"):
        RawDataset.open(folder)
    label(folder / "labelsTr" / "a.mha")
    (folder / "labelsTr" / "b.nii.gz").unlink()
    (folder / "imagesTr" / "a_0001.nii.gz").unlink()
    _, problems = RawDataset.scan(folder)
    found = " | ".join(str(problem) for problem in problems)
    for message in ("case b has no label", "are the same label: remove one", "lacks channel 1 (T1)", "c.nii.gz has no"):
        assert message in found
    (folder / "dataset.json").unlink()
    with pytest.raises(SpecError, match="cannot read"):
        RawDataset.open(folder)


def test_find_images_by_channel(tmp_path: Path) -> None:
    for name in ("a_0000.nii.gz", "a_0001.nrrd", "b_0000.nii", "b_0001.nii"):
        image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    cases = find_images(tmp_path, 2)
    assert [case.case_id for case in cases] == ["a", "b"]
    assert [path.name for path in cases[0].images] == ["a_0000.nii.gz", "a_0001.nrrd"]


@pytest.mark.parametrize("channels", [1, 4])
def test_find_images_with_plain_names(tmp_path: Path, channels: int) -> None:
    for name in ("liver_0012.nii.gz", "liver_0013.nii.gz", "x.nii.gz"):
        image(tmp_path / name, channels=channels)
    cases = find_images(tmp_path, channels)
    assert [case.case_id for case in cases] == ["liver_0012", "liver_0013", "x"]
    assert read_case(cases[0], channels=channels)[0].shape == (channels, 3, 4, 5)


@pytest.mark.parametrize(
    ("names", "channels", "message"),
    [
        (("a_0000.nii.gz",), 2, r"case a lacks channel 1 in .*: add a_0001\.nii\.gz, or remove the case"),
        (("a_0001.nii.gz", "a_0002.nii.gz"), 3, "case a lacks channel 0"),
        (("a_0000.nii.gz", "a_0001.nii.gz"), 1, "one channel more than the 1 that are declared: remove it"),
        (("a_0000.nii.gz", "a_0000.mha"), 1, r"a_0000\.mha and a_0000\.nii\.gz are the same image: remove one"),
        (("a.nii.gz", "a_0000.nii.gz"), 1, "are the same image"),
        (("a_0000.nii.gz", "a_0001.nii.gz", "a.nii.gz"), 2, "are the same image"),
        (("a.nii.gz", "a.nii"), 1, "are the same image"),
    ],
)
def test_wrong_image_folders(tmp_path: Path, names: tuple[str, ...], channels: int, message: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=message) as caught:
        find_images(tmp_path, channels)
    assert caught.value.case_id == "a"


def test_wrong_cases_are_collected_and_the_others_found(tmp_path: Path) -> None:
    for name in ("a_0000.nii.gz", "a_0000.mha", "b_0000.nii.gz", "c_0001.nii.gz"):
        (tmp_path / name).touch()
    problems: list[DatasetError] = []
    assert [case.case_id for case in find_images(tmp_path, 1, problems)] == ["b"]
    assert [problem.case_id for problem in problems] == ["a", "c"]
    (tmp_path / "b_0000.nii.gz").unlink()
    with pytest.raises(DatasetError, match="are the same image"):
        find_images(tmp_path, 1, [])


def test_a_data_set_opens_without_its_bad_cases(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d", cases=("a", "b", "c", "d"))
    (folder / "imagesTr" / "b_0001.nii.gz").unlink()
    (folder / "labelsTr" / "c.nii.gz").unlink()
    opened, bad = RawDataset.open_usable(folder)
    assert [case.case_id for case in opened.training] == ["a", "d"]
    assert set(bad) == {"b", "c"}
    assert bad["b"].endswith("add b_0001.nii.gz, or remove the case")
    with pytest.raises(DatasetError, match="numTraining = 9, but there are 2"):
        RawDataset.open_usable(dataset(tmp_path / "e", numTraining=9))


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no images in .*: put files ending in \.nii\.gz"):
        find_images(tmp_path, 1)
    with pytest.raises(DatasetError, match="is not a folder: check the path"):
        find_images(tmp_path / "gone", 1)


def test_channels_on_different_grids(tmp_path: Path) -> None:
    files = (image(tmp_path / "a_0000.nii"), image(tmp_path / "a_0001.nii", grid=Geometry((3, 4, 6), (3.0, 1.01, 1.0))))
    with pytest.raises(DatasetError, match=r"differ in shape, spacing_mm: resample the channels") as caught:
        read_case(RawCase("a", files), channels=2)
    assert caught.value.case_id == "a"


def test_wrong_channel_count(tmp_path: Path) -> None:
    case = RawCase("a", (image(tmp_path / "a.nii", channels=3),))
    with pytest.raises(DatasetError, match=r"has 3 channel\(s\), 2 are needed: give one file per channel"):
        read_case(case, channels=("x", "y"))


def test_non_finite_voxels(tmp_path: Path) -> None:
    array = np.ones((1, 3, 4, 5), np.float32)
    array[0, 0, 0, :2] = np.nan, np.inf
    write_image(tmp_path / "a.nii", array, GRID)
    with pytest.raises(DatasetError, match=r"2 voxels of a\.nii are NaN or infinite: replace them"):
        read_case(RawCase("a", (tmp_path / "a.nii",)), channels=1)


def test_unreadable_file_names_its_case(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"")
    with pytest.raises(DatasetError, match="cannot be read") as caught:
        read_case(RawCase("a", (tmp_path / "a.nii",)), channels=1)
    assert caught.value.case_id == "a"


def test_label_on_another_grid(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    moved = Geometry(GRID.shape, GRID.spacing_mm, (0.0, 0.0, 9.0))
    case = RawCase("a", (image(tmp_path / "a.nii"),), label(tmp_path / "l.nii", grid=moved))
    with caplog.at_level(logging.WARNING):
        _, geometry, _ = read_case(case, channels=1)
    assert geometry == GRID
    assert "differs from its image in origin_mm; the image's is used" in caplog.text
    other = RawCase("a", case.images, label(tmp_path / "m.nii", grid=Geometry((3, 4, 6), GRID.spacing_mm)))
    with pytest.raises(DatasetError, match=r"has the shape \(3, 4, 6\), its image \(3, 4, 5\)"):
        read_case(other, channels=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32])
def test_undeclared_labels(dtype: type) -> None:
    case = RawCase("a", (Path("a.nii"),), Path("l.nii"))
    array = np.array([[[0, 1, 2]]], dtype)
    check_labels(array, LABELS, case)
    assert unknown_labels(array, LABELS) == ()
    array[0, 0, 0] = 100
    with pytest.raises(
        DatasetError, match=r"l\.nii holds the label 100, dataset\.json declares 0, 1, 2: add the label"
    ):
        check_labels(array, LABELS, case)
    if np.iinfo(dtype).min < 0:
        array[0, 0, 1] = -1
        assert unknown_labels(array, LABELS) == (-1, 100)


def test_ignore_label_is_declared() -> None:
    space = LabelSpace.parse({"background": 0, "liver": 1, "ignore": 2})
    assert unknown_labels(np.array([[[0, 1, 2, 3]]], np.uint8), space) == (3,)


def test_cases_that_annotate_some_labels(tmp_path: Path) -> None:
    said = {"a": {"annotated": ["core"]}, "b": {"annotated": ["core", "whole"]}}
    opened = RawDataset.open(dataset(tmp_path, provenance=said))
    assert [case.annotated for case in opened.training] == [("core",), None]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cor"], r"dataset\.json: a annotates 'cor': did you mean 'core'"),
        ([], r"a annotates no label: name its labels"),
    ],
)
def test_annotations_that_cannot_be(tmp_path: Path, names: list[str], message: str) -> None:
    folder = dataset(tmp_path, provenance={"a": {"annotated": names}})
    with pytest.raises(DatasetError, match=message):
        RawDataset.open(folder)
    usable, bad = RawDataset.open_usable(folder)
    assert [case.case_id for case in usable.training] == ["b"]
    assert "a" in bad


def test_labels_that_a_case_is_said_not_to_annotate() -> None:
    case = RawCase("a", (Path("a.nii"),), Path("l.nii"), ("liver",))
    check_labels(np.array([[[0, 1]]]), LABELS, case)
    with pytest.raises(
        DatasetError, match=r"l\.nii holds the label 2 \(tumour\), which it is said not to annotate: name"
    ):
        check_labels(np.array([[[0, 1, 2]]]), LABELS, case)
