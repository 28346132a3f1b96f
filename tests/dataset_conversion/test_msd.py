"""Medical Segmentation Decathlon: its own names, channels and labels, files taken over as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.io.images import read_image, write_image
from autoseg.io.raw import RawDataset, read_case
from autoseg.stages import convert

MSD = load_converter("msd")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return MSD.example(tmp_path / "source")


def test_four_dimensional_images_are_split(source: Path, tmp_path: Path) -> None:
    dataset = RawDataset.open(convert.run(convert.Options("msd", source, workers=1), Workspace(tmp_path / "w")))
    assert dataset.spec.channels() == ("FLAIR", "T1w")
    assert tuple(dataset.spec.labels) == ("background", "organ", "lesion")
    original = read_image(source / "imagesTr" / "example_001.nii.gz")
    array, geometry, _ = read_case(dataset.training[0], channels=2)
    assert np.array_equal(array, original.array)
    assert geometry == original.geometry
    assert [case.label for case in dataset.test] == [None]


def test_labels_stored_as_float_become_integers(source: Path, tmp_path: Path) -> None:
    path = source / "labelsTr" / "example_001.nii.gz"
    label = read_image(path)
    write_image(path, label.array.astype(np.float32), label.geometry)
    dataset = RawDataset.open(convert.run(convert.Options("msd", source, workers=1), Workspace(tmp_path / "w")))
    written = read_image(dataset.training[0].label)  # type: ignore[arg-type]
    assert written.array.dtype == np.uint8
    assert np.array_equal(written.array, label.array)


def test_overlap_groups_name_the_lits_case(source: Path) -> None:
    for number in (27, 131):
        (source / "imagesTs" / f"liver_{number}.nii.gz").touch()
    groups = {case.case_id: case.provenance.overlap_group for case in MSD.cases(source)}
    assert groups == {"example_001": None, "example_002": None, "example_003": None,
                      "liver_27": "lits-27", "liver_131": None}  # fmt: skip


def test_wrong_layouts(source: Path, tmp_path: Path) -> None:
    (source / "labelsTr" / "example_001.nii.gz").rename(source / "labelsTr" / "other.nii.gz")
    with pytest.raises(DatasetError, match=r"example_001\.nii\.gz has no label in labelsTr"):
        MSD.cases(source)
    (source / "imagesTr" / "example_001.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"other\.nii\.gz has no image in imagesTr"):
        MSD.cases(source)
    with pytest.raises(DatasetError, match=r"no images in .*: give the task folder"):
        MSD.cases(tmp_path / "gone")
    (source / "dataset.json").write_text(json.dumps({"labels": {}}))
    with pytest.raises(DatasetError, match="is not the Decathlon's"):
        MSD.dataset(source)


def test_background_of_another_name(source: Path) -> None:
    values = json.loads((source / "dataset.json").read_text())
    values["labels"] = {"0": "Background", "2": "cancer", "1": "liver"}
    (source / "dataset.json").write_text(json.dumps(values))
    assert MSD.dataset(source).labels == {"background": 0, "liver": 1, "cancer": 2}


def test_real_task(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "Task04_Hippocampus"
    folder = convert.run(convert.Options("msd", source, id=4, workers=1), Workspace(tmp_path))
    dataset = RawDataset.open(folder)
    assert folder.name == "Dataset004_Hippocampus"
    assert (len(dataset.training), dataset.spec.channels()) == (200, ("MRI",))
    assert dataset.spec.labels == {"background": 0, "Anterior": 1, "Posterior": 2}
    first = dataset.training[0]
    assert first.images[0].read_bytes() == (source / "imagesTr" / f"{first.case_id}.nii.gz").read_bytes()


def test_geometry_of_the_split_channels_is_exact(source: Path, tmp_path: Path) -> None:
    oblique = Geometry((6, 8, 7), (1.5, 1.1, 1.1), (0.1, 0.2, 0.3), ((1, 0, 0), (0, 0.8, 0.6), (0, -0.6, 0.8)))
    write_image(source / "imagesTr" / "example_001.nii.gz", np.ones((2, 6, 8, 7)), oblique)
    convert.run(convert.Options("msd", source, workers=1), Workspace(tmp_path / "w"))
    written = tmp_path / "w" / "raw" / "Dataset001_Example" / "imagesTr" / "example_001_0001.nii.gz"
    assert read_image(written).geometry == read_image(source / "imagesTr" / "example_001.nii.gz").geometry
