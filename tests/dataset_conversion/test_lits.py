"""LiTS: pairing, lost spacing, the exchanged axes of one test volume, labels of odd types."""

from __future__ import annotations

import logging
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import run_command
from autoseg.core.errors import DatasetError, RegistryError
from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.datasets.overlap import ircadb_group
from autoseg.io.images import read_image, read_label, write_image, write_label
from autoseg.io.raw import RawDataset, read_case
from autoseg.stages import convert
from dataset_conversion._synthetic_dicom import Scan, slice_bytes
from dataset_conversion.lits import example_voxels

LITS = load_converter("lits")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return LITS.example(tmp_path / "source")


def _convert(source: Path, root: Path, **options: str) -> RawDataset:
    given = convert.Options("lits", source, id=1, workers=1, options=tuple(options.items()))
    return RawDataset.open(convert.run(given, Workspace(root)))


def _volume(folder: Path, number: int, slices: int) -> None:
    """A training pair with the identity affine."""
    image, labels = example_voxels((slices, 8, 8), seed=number)
    geometry = Geometry(labels.shape, (1.0, 1.0, 1.0), direction=((1, 0, 0), (0, -1, 0), (0, 0, -1)))
    write_image(folder / f"volume-{number}.nii", image, geometry)
    write_label(folder / f"segmentation-{number}.nii", labels, geometry)


def _write_scan(folder: Path, positions_mm: list[float]) -> None:
    folder.mkdir(parents=True)
    scan = Scan(spacing_mm=(1.6, 0.743, 0.744))
    for index, position in enumerate(positions_mm):
        content = slice_bytes(np.zeros((4, 4), np.int16), scan, number=index, position_mm=(0, 0, position))
        (folder / f"image_{index}").write_bytes(content)


def test_batches_are_joined_and_originals_named(source: Path, tmp_path: Path) -> None:
    dataset = _convert(source, tmp_path / "w")
    assert [case.case_id for case in dataset.training] == ["volume-0", "volume-28"]
    origins = dataset.spec.provenance
    assert origins["volume-0"].overlap_group == "lits-0"
    assert origins["volume-28"].overlap_group == ircadb_group(1) == "lits-28"
    assert origins["volume-28"].source == "LiTS volume-28, 3D-IRCADb-01 patient 1"
    _, geometry, labels = read_case(dataset.training[1], channels=1)
    assert geometry.spacing_mm == (1.0, 1.0, 1.0)
    assert labels is not None
    assert set(np.unique(labels)) == {0, 1, 2}


def test_test_volume_59_keeps_its_array_and_gets_its_directions(source: Path, tmp_path: Path) -> None:
    dataset = _convert(source, tmp_path / "w")
    stored = read_image(source / "Test-Data" / "test-volume-59.nii")
    written = read_image(dataset.test[0].images[0])
    assert np.array_equal(written.array, stored.array)
    assert written.geometry.spacing_mm == stored.geometry.spacing_mm
    # The array's middle axis, 10 steps of 2.5 mm, runs along the body.
    assert [abs(row[1]) for row in written.geometry.direction] == [1.0, 0.0, 0.0]
    write_image(
        source / "Test-Data" / "test-volume-59.nii", np.zeros((5, 8, 8), np.int16), Geometry((5, 8, 8), (2, 1, 1))
    )
    mended = _convert(source, tmp_path / "w2").test[0]
    assert read_image(mended.images[0]).geometry.direction == Geometry((5, 8, 8), (2, 1, 1)).direction


def test_spacing_from_the_table(tmp_path: Path) -> None:
    _volume(tmp_path / "s", 44, 119)
    dataset = _convert(tmp_path / "s", tmp_path / "w", fix_spacing="table")
    spacing_mm = read_image(dataset.training[0].images[0]).geometry.spacing_mm
    assert spacing_mm == pytest.approx((1.6, 0.74, 0.74), abs=1e-6)
    assert dataset.spec.provenance["volume-44"].source.endswith("patient 17, spacing from table")
    _volume(tmp_path / "t", 44, 20)
    with pytest.raises(DatasetError, match="has 20 slices, 3D-IRCADb-01 patient 17 has 119: convert without"):
        _convert(tmp_path / "t", tmp_path / "w2", fix_spacing="table")


def test_stored_spacing_is_not_overridden(tmp_path: Path) -> None:
    _volume(tmp_path / "s", 44, 20)
    _volume(tmp_path / "s", 3, 20)
    image = read_image(tmp_path / "s" / "volume-44.nii")
    write_image(tmp_path / "s" / "volume-44.nii", image.array, Geometry((20, 8, 8), (2.0, 0.7, 0.7)))
    dataset = _convert(tmp_path / "s", tmp_path / "w", fix_spacing="table")
    spacings = {case.case_id: read_image(case.images[0]).geometry.spacing_mm for case in dataset.training}
    assert spacings["volume-3"] == (1.0, 1.0, 1.0)
    assert spacings["volume-44"] == pytest.approx((2.0, 0.7, 0.7), abs=1e-6)


@pytest.mark.parametrize("packed", [False, True])
def test_spacing_from_the_scans(tmp_path: Path, caplog: pytest.LogCaptureFixture, packed: bool) -> None:
    patient = tmp_path / "ircadb" / "3Dircadb1" / "3Dircadb1.17"
    _write_scan(patient / "PATIENT_DICOM" / "PATIENT_DICOM", [4.8, 0.0, 1.6, 3.2])
    if packed:
        with zipfile.ZipFile(patient / "PATIENT_DICOM.zip", "w") as archive:
            for path in (patient / "PATIENT_DICOM" / "PATIENT_DICOM").iterdir():
                archive.write(path, f"PATIENT_DICOM/{path.name}")
        shutil.rmtree(patient / "PATIENT_DICOM")
    _volume(tmp_path / "s", 44, 4)
    with caplog.at_level(logging.WARNING):
        dataset = _convert(tmp_path / "s", tmp_path / "w", fix_spacing=f"ircadb:{tmp_path / 'ircadb'}")
    image, stored = read_image(dataset.training[0].images[0]), read_image(tmp_path / "s" / "volume-44.nii")
    assert np.allclose(image.geometry.spacing_mm, (1.6, 0.743, 0.744), atol=1e-6)
    assert image.geometry.direction == stored.geometry.direction
    assert np.array_equal(image.array, stored.array)
    assert "/ircadb, directions left as stored: LiTS may hold the scan mirrored" in caplog.text


def test_scans_that_give_no_spacing(tmp_path: Path) -> None:
    _volume(tmp_path / "s", 44, 4)
    option = f"ircadb:{tmp_path / 'ircadb'}"
    with pytest.raises(DatasetError, match=r"has no patient 3Dircadb1\.17: unpack"):
        _convert(tmp_path / "s", tmp_path / "w", fix_spacing=option)
    folder = tmp_path / "ircadb" / "3Dircadb1.17" / "PATIENT_DICOM"
    folder.mkdir(parents=True)
    (folder / "image_0").write_bytes(b"cut")
    with pytest.raises(DatasetError, match=r"3Dircadb1\.17 holds no slices"):
        _convert(tmp_path / "s", tmp_path / "w", fix_spacing=option)
    with pytest.raises(RegistryError, match="use ircadb:FOLDER or table"):
        LITS.with_options({"fix_spacing": "yes"})


def test_labels_take_the_volumes_header(source: Path, tmp_path: Path) -> None:
    path = source / "Training Batch 1" / "segmentation-0.nii"
    labels = read_image(path)
    write_image(path, labels.array.astype(np.float32) + np.float32(4e-4), Geometry((10, 14, 14), (9.0, 1.0, 1.0)))
    case = _convert(source, tmp_path / "w").training[0]
    assert case.label is not None
    written = read_image(case.label)
    assert written.array.dtype == np.uint8
    assert np.array_equal(written.array, labels.array)
    assert written.geometry == read_image(case.images[0]).geometry


def test_wrong_layouts(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no volume-N\.nii in"):
        LITS.cases(tmp_path / "gone")
    twin = source / "Training Batch 2" / "volume-0.nii.gz"
    twin.touch()
    with pytest.raises(DatasetError, match="are the same volume: remove one"):
        LITS.cases(source)
    twin.rename(source / "Training Batch 1" / "volume-0.nii.gz")
    with pytest.raises(DatasetError, match=r"volume-0\.nii\.gz and volume-0\.nii are the same volume"):
        LITS.cases(source)
    (source / "Training Batch 1" / "volume-0.nii.gz").rename(source / "Training Batch 1" / "volume-1.nii.gz")
    with pytest.raises(DatasetError, match=r"volume-1\.nii\.gz has no segmentation-1"):
        LITS.cases(source)
    (source / "Training Batch 1" / "volume-1.nii.gz").rename(source / "Training Batch 1" / "segmentation-1.nii.gz")
    with pytest.raises(DatasetError, match=r"segmentation-1\.nii\.gz has no volume-1"):
        LITS.cases(source)


def test_real_patient_rewritten_as_lits(test_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scans, root = test_data / "3Dircadb1", tmp_path / "w"
    original = RawDataset.open(convert.run(convert.Options("ircadb", scans, workers=1), Workspace(root))).training[0]
    assert original.label is not None
    image, (labels, _) = read_image(original.images[0]), read_label(original.label)
    lost = Geometry(labels.shape, (1.0, 1.0, 1.0), direction=((1, 0, 0), (0, -1, 0), (0, 0, -1)))
    write_image(tmp_path / "s" / "volume-44.nii", image.array, lost)
    write_label(tmp_path / "s" / "segmentation-44.nii", labels, lost)
    line = ["convert", "lits", str(tmp_path / "s"), "--fix-spacing", f"ircadb:{scans}", "--workspace", str(root)]
    assert run_command([*line, "--workers", "1"]) == 0
    case = RawDataset.open(root / "raw" / "Dataset002_LiTS").training[0]
    assert case.label is not None
    written = read_image(case.images[0])
    assert np.array_equal(written.array, image.array)
    assert np.array_equal(read_label(case.label)[0], labels)
    assert np.allclose(written.geometry.spacing_mm, image.geometry.spacing_mm, rtol=0, atol=1e-6)
    assert np.allclose(written.geometry.spacing_mm, (1.6, 0.743, 0.743), rtol=0, atol=1e-6)
    assert written.geometry.direction == lost.direction
    assert "directions left as stored" in caplog.text


def test_a_swapped_mask_leaves_nothing_of_its_case(source: Path, tmp_path: Path) -> None:
    mask = source / "Training Batch 1" / "segmentation-0.nii"
    write_label(mask, np.ones((4, 8, 8), np.uint8), Geometry((4, 8, 8), (1.0, 1.0, 1.0)))
    with pytest.raises(DatasetError, match=r"segmentation-0\.nii has the shape \(4, 8, 8\), its image \(10, 14, 14\)"):
        _convert(source, tmp_path / "w")
    written = {path.name for path in (tmp_path / "w" / "raw").rglob("*.nii.gz")}
    assert written == {"volume-28_0000.nii.gz", "volume-28.nii.gz", "test-volume-59_0000.nii.gz"}
    assert not list((tmp_path / "w" / "raw").rglob("dataset.json"))
