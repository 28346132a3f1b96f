"""Pictures: grey and colour, as images and as label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.inference.jobs import find_jobs
from autoseg.io.case_files import find_images
from autoseg.io.images import PLANAR_ENDINGS, read_header, read_image, read_label, write_image, write_label
from autoseg.io.label_files import find_label_files

GRID = Geometry((1, 4, 5), (1.0, 1.0, 1.0))


def pixels(channels: int = 1, kind: str = "uint8") -> np.ndarray:
    return np.arange(channels * 20).reshape(channels, 1, 4, 5).astype(kind)


@pytest.mark.parametrize(
    ("ending", "channels"),
    [(ending, count) for ending in PLANAR_ENDINGS for count in (1, 3, 4) if (ending, count) != (".bmp", 4)],
)  # Pillow reads BMP without alpha
def test_round_trip(tmp_path: Path, ending: str, channels: int) -> None:
    path = tmp_path / f"a{ending}"
    write_image(path, pixels(channels), GRID)
    image = read_image(path)
    assert np.array_equal(image.array, pixels(channels))
    assert image.array.dtype == np.uint8
    assert image.geometry == read_header(path) == GRID
    write_label(path, pixels()[0].astype(np.int64) % 3, GRID)
    labels, grid = read_label(path)
    assert np.array_equal(labels, pixels()[0] % 3)
    assert (labels.dtype, grid) == (np.uint8, GRID)


@pytest.mark.parametrize(("ending", "kind"), [(".png", "uint16"), (".tif", "uint16"), (".tif", "float32")])
def test_more_than_eight_bits(tmp_path: Path, ending: str, kind: str) -> None:
    values = pixels(1, kind) * 1000
    write_image(tmp_path / f"a{ending}", values, GRID)
    image = read_image(tmp_path / f"a{ending}")
    assert np.array_equal(image.array, values)
    assert image.array.dtype == kind


def test_palettes_are_colours_in_images_and_numbers_in_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture = Picture.fromarray(pixels()[0, 0] % 3, mode=None).convert("P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(path)
    assert read_image(path).array[:, 0, 0, 1].tolist() == [40, 50, 60]
    assert np.array_equal(read_label(path)[0], pixels()[0] % 3)


def test_other_kinds_of_pixels(tmp_path: Path) -> None:
    grey = pixels()[0, 0]
    Picture.fromarray(grey % 2 == 1).save(tmp_path / "bits.png")
    assert np.array_equal(read_label(tmp_path / "bits.png")[0][0], grey % 2)
    Picture.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "grey.png")
    assert np.array_equal(read_label(tmp_path / "grey.png")[0][0], grey)  # RGB without colour
    opaque = np.full_like(grey, 255)
    Picture.fromarray(np.stack([grey, grey + 1, grey, opaque], axis=-1)).save(tmp_path / "opaque.png")
    assert len(read_image(tmp_path / "opaque.png").array) == 3
    with pytest.raises(DatasetError, match="has 3 channels"):
        read_label(tmp_path / "opaque.png")
    Picture.fromarray(np.stack([grey] * 4, axis=-1), mode=None).convert("CMYK").save(tmp_path / "print.tif")
    with pytest.raises(DatasetError, match=r"print\.tif cannot be read \(its pixels are CMYK"):
        read_image(tmp_path / "print.tif")


def test_what_a_picture_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match="2 slices are no picture"):
        write_label(tmp_path / "a.png", np.zeros((2, 4, 5), np.uint8), Geometry((2, 4, 5), (1.0, 1.0, 1.0)))
    with pytest.raises(DatasetError, match=r"BMP cannot hold 1 channel\(s\) of uint16"):
        write_label(tmp_path / "a.bmp", pixels()[0].astype(np.uint16) * 1000, GRID)
    assert not list(tmp_path.iterdir())
    first, second = (Picture.fromarray(pixels()[0, 0] + value) for value in (0, 1))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with pytest.raises(DatasetError, match=r"it has 2 pages: store volumes as \.nii\.gz"):
        read_image(tmp_path / "a.tif")
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"b\.png cannot be read"):
        read_header(tmp_path / "b.png")
    write_image(tmp_path / "c.png", pixels(), GRID)
    monkeypatch.setattr(Picture, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(DatasetError, match=r"c\.png cannot be read \(Image size \(20 pixels\) exceeds"):
        read_image(tmp_path / "c.png")


def test_one_file_may_hold_all_channels(tmp_path: Path) -> None:
    for case in "ab":
        write_image(tmp_path / f"{case}_0000.png", pixels(3), GRID)
    cases = find_images(tmp_path, ("R", "G", "B"))
    assert [(case.case_id, len(case.images)) for case in cases] == [("a", 1), ("b", 1)]
    (job,) = find_jobs(tmp_path / "a_0000.png", tmp_path / "out", channels=("R", "G", "B"))
    assert (job.case.case_id, job.output.name) == ("a", "a.png")
    write_image(tmp_path / "a_0001.png", pixels(), GRID)
    with pytest.raises(DatasetError, match=r"case a lacks channel 2 \(B\)"):
        find_images(tmp_path, ("R", "G", "B"))


def test_pictures_beside_volumes_are_previews(tmp_path: Path) -> None:
    write_label(tmp_path / "a.nii.gz", pixels()[0], GRID)
    write_image(tmp_path / "a.png", pixels(3), GRID)
    assert find_label_files(tmp_path) == {"a": tmp_path / "a.nii.gz"}
    assert [case.images[0].name for case in find_images(tmp_path, 1)] == ["a.nii.gz"]
