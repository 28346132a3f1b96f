"""DICOM slices: stacked by position as ITK does, and refused with the numbers where they are no volume."""

from __future__ import annotations

import functools
import io
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.core.errors import DatasetError
from autoseg.io.archive import Entry, file_entry
from autoseg.io.dicom import Series, geometry_of, read_series, read_slice, volume_of
from autoseg.io.itk import read as read_itk
from dataset_conversion._synthetic_dicom import Scan, slice_bytes, slice_files

OBLIQUE = Scan(
    spacing_mm=(2.5, 0.8, 0.7), origin_mm=(5.0, -3.0, 40.0), row=(0.0, 1.0, 0.0), column=(0.6, 0.0, -0.8),
    fields={"RescaleIntercept": "-1024", "SliceThickness": "7"},
)  # fmt: skip
VOLUME = np.random.default_rng(0).integers(0, 2000, size=(12, 5, 6)).astype(np.int16)


def _entries(files: dict[str, bytes]) -> list[Entry]:
    return [Entry(PurePosixPath(name), name, functools.partial(io.BytesIO, content)) for name, content in files.items()]


def _files(scan: Scan = OBLIQUE, volume: np.ndarray = VOLUME, **changes: Any) -> dict[str, bytes]:
    changed = Scan(scan.series, scan.spacing_mm, scan.origin_mm, scan.row, scan.column, {**scan.fields, **changes})
    return {f"image_{index}": content for index, content in slice_files(volume, changed)}


def _one(files: dict[str, bytes]) -> Series:
    (series,), _ = read_series(_entries(files))
    return series


def test_volume_equals_itk(tmp_path: Path) -> None:
    names = []
    for name, content in _files().items():
        (tmp_path / name).write_bytes(content)
        names.append(str(tmp_path / name))
    sitk.WriteImage(sitk.ReadImage(names), str(tmp_path / "volume.nrrd"))
    expected, grid = read_itk(tmp_path / "volume.nrrd")
    entries = [file_entry(Path(name)) for name in sorted(names)]  # image_10 before image_2
    (series,), aside = read_series(entries, strict=True)
    volume, geometry = volume_of(series)
    assert aside == ()
    assert volume.dtype == np.int16
    assert np.array_equal(volume, expected[0])
    assert np.array_equal(volume, VOLUME - 1024)
    assert geometry.differences(grid, tolerance=1e-6) == ()
    assert geometry.spacing_mm == (2.5, 0.8, 0.7)  # from positions: the header's thickness is 7


@settings(max_examples=20)
@given(order=st.permutations(range(12)), numbers=st.permutations(range(12)))
def test_neither_file_order_nor_instance_numbers_matter(order: list[int], numbers: list[int]) -> None:
    made = [
        slice_bytes(VOLUME[index], OBLIQUE, number=numbers[index], position_mm=OBLIQUE.position_mm(index))
        for index in order
    ]
    volume, geometry = volume_of(_one({f"image_{index}": content for index, content in enumerate(made)}))
    assert np.array_equal(volume, VOLUME - 1024)
    assert np.allclose(geometry.origin_mm, (40.0, -3.0, 5.0))


def test_fractional_slope_gives_floats() -> None:
    volume, _ = volume_of(_one(_files(RescaleSlope="0.5", RescaleIntercept="-3")))
    assert volume.dtype == np.float32
    assert np.array_equal(volume, VOLUME * 0.5 - 3)


def test_values_beyond_int16_give_floats() -> None:
    volume, _ = volume_of(_one(_files(RescaleSlope="100")))
    assert volume.dtype == np.float32
    assert np.array_equal(volume, VOLUME * 100.0 - 1024)


def test_positions_with_one_decimal_are_even_enough() -> None:
    scan = Scan()
    files = {
        f"{index}": slice_bytes(VOLUME[0], scan, number=index, position_mm=(0, 0, round(index * 0.6667, 1)))
        for index in range(31)
    }
    assert geometry_of(_one(files).slices).spacing_mm[0] == pytest.approx(0.6667, abs=1e-3)


def test_missing_slice() -> None:
    files = _files()
    del files["image_4"]
    with pytest.raises(
        DatasetError, match=r"1 slice missing between image_3 .* and image_5 .*: 5\.000 mm instead of 2\."
    ):
        volume_of(_one(files))
    del files["image_5"], files["image_9"]
    with pytest.raises(
        DatasetError, match=r"2 slices missing .*: 7\.500 mm instead of 2\.500; 2 steps of 8 are uneven"
    ):
        volume_of(_one(files))


def test_uneven_step() -> None:
    files = _files()
    shifted = np.asarray(OBLIQUE.position_mm(4)) + 0.4 * np.cross(OBLIQUE.row, OBLIQUE.column)
    files["image_4"] = slice_bytes(VOLUME[4], OBLIQUE, number=4, position_mm=shifted.tolist())
    with pytest.raises(DatasetError, match=r"uneven step between image_\d .*: (2\.900|2\.100) mm instead of 2\.500"):
        volume_of(_one(files))


def test_two_slices_at_one_position() -> None:
    files = _files()
    files["other"] = slice_bytes(VOLUME[0], OBLIQUE, number=99, position_mm=OBLIQUE.position_mm(3))
    with pytest.raises(DatasetError, match=r"image_3 and other lie at the same position, .* \(1 such pairs in 13"):
        volume_of(_one(files))


def test_copies_and_localizers_are_set_aside() -> None:
    files = _files() | {"copy": _files()["image_3"]}
    files["scout"] = slice_bytes(
        VOLUME[0], Scan(fields={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}), number=50, position_mm=(0, 0, 0)
    )
    (series,), aside = read_series(_entries(files))
    assert len(series.slices) == 12
    assert sorted(aside) == ["image_3 is a copy of another slice", "scout is a localizer"]


def test_gantry_tilt() -> None:
    scan = Scan(spacing_mm=(5.0, 0.8, 0.8))
    files = {
        f"image_{index}": slice_bytes(pixels, scan, number=index, position_mm=(0, 0.875 * index, 5 * index))
        for index, pixels in enumerate(VOLUME)
    }
    with pytest.raises(DatasetError, match=r"image_11 lies 9\.62 mm beside image_0: the slices are tilted by 9\.9 deg"):
        volume_of(_one(files))


def test_a_single_slice() -> None:
    with pytest.raises(DatasetError, match="image_0 is the only slice of its series"):
        volume_of(_one(_files(volume=VOLUME[:1])))


def test_series_are_told_apart_by_identifier_orientation_and_grid() -> None:
    files = _files()
    for index, scan in enumerate(
        (Scan(series=1), Scan(series=2), Scan(series=1, spacing_mm=(2, 0.9, 0.9), origin_mm=(0, 0, 500)))
    ):
        files |= {f"{index}-{name}": content for name, content in _files(scan, VOLUME[: 4 + index]).items()}
    series, _ = read_series(_entries(files))
    assert [len(one.slices) for one in series] == [12, 6, 5, 4]
    assert "CT, 12 slices of 5 x 6, 1.2.826" in series[0].title


def test_files_that_are_no_images() -> None:
    files = {
        "note": b"text",
        "short": b"",
        "empty": _files(Rows=None)["image_0"],
        "photo": _files(SamplesPerPixel=3)["image_0"],
    }
    series, aside = read_series(_entries(files))
    assert series == ()
    assert aside == (
        "note is no DICOM file",
        "short is no DICOM file",
        "empty holds no image",
        "photo is a colour picture",
    )
    with pytest.raises(DatasetError, match="note is no DICOM file: remove the file"):
        read_series(_entries(files), strict=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"NumberOfFrames": "30"}, "image_0 holds 30 frames: export one file per slice"),
        ({"ImagePositionPatient": None}, r"image_0 does not say where it lies .*ImagePositionPatient"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, r"does not say where it lies \(ImageOrientationPatient is"),
        ({"ImagePositionPatient": ["0", "0", "9e999"]}, "is no position"),
        ({"PixelSpacing": [0, 1]}, r"PixelSpacing is 0\.0 x 1\.0"),
    ],
)
def test_headers_that_place_no_slice(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_series(_entries(_files(**fields)))


def test_a_file_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone cannot be read .*: download or export it again"):
        read_slice(file_entry(tmp_path / "gone"))


def test_truncated_pixels() -> None:
    files = _files()
    files["image_2"] = files["image_2"][:-30]
    with pytest.raises(DatasetError, match=r"the pixels of image_2 cannot be read .*: download it again"):
        volume_of(_one(files))


def test_files_without_preamble() -> None:
    # Explicit VR without file meta is not DICOM; implicit little endian is what old archives store.
    files = {}
    for name, content in _files().items():
        found = pydicom.dcmread(io.BytesIO(content))
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, pydicom.Dataset(found), implicit_vr=True, little_endian=True)
        files[name] = buffer.getvalue()
        assert files[name][:2] == b"\x08\x00"
    assert np.array_equal(volume_of(_one(files))[0], VOLUME - 1024)
