"""PNG, TIFF and BMP: photographs and slices, as volumes of one slice. Import it late: Pillow takes a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry

Array = npt.NDArray[Any]
SPACING_MM = (1.0, 1.0, 1.0)
"""These files know no millimetres that could be trusted: lengths and areas are in pixels."""
_FORMATS = {".png": "PNG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
_OPAQUE = 255
_COLOURS = {3: "RGB", 4: "RGBA"}


def read(path: Path, *, palette_as_numbers: bool = False) -> tuple[Array, Geometry]:
    """Pixels (C, 1, Y, X) and their grid; colours are channels, an opaque alpha channel is none.

    Args:
        path: Ends in `.png`, `.bmp`, `.tif` or `.tiff`.
        palette_as_numbers: A palette's numbers, which label maps use as values, instead of its colours.

    Raises:
        ValueError: Several pages, or a kind of pixel that is neither grey nor RGB.
    """
    try:
        with Image.open(path) as picture:
            pages = getattr(picture, "n_frames", 1)
            if pages > 1:
                raise ValueError(f"it has {pages} pages: store volumes as .nii.gz")
            array = _pixels(picture, palette_as_numbers=palette_as_numbers)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    return array, _grid(array.shape[2:])


def read_geometry(path: Path) -> Geometry:
    """Grid without the pixels."""
    with Image.open(path) as picture:
        return _grid((picture.height, picture.width))


def write(path: Path, channels: Array) -> None:
    """Write (C, 1, Y, X): one channel in grey, three or four of 8 bits in colour.

    Raises:
        DatasetError: Several slices, or numbers that the format cannot hold.
    """
    if channels.shape[1] != 1:
        raise DatasetError(f"{path}: {channels.shape[1]} slices are no picture", "choose .nii.gz for volumes")
    kind = _FORMATS[path.suffix.lower()]
    pixels = channels[:, 0]
    if len(pixels) == 1:
        pixels = pixels[0]
        fits = pixels.dtype == np.uint8 or (pixels.dtype == np.uint16 and kind != "BMP")
        fits = fits or (pixels.dtype in (np.int32, np.float32) and kind == "TIFF")
    else:
        fits = len(pixels) in _COLOURS and pixels.dtype == np.uint8
        pixels = np.moveaxis(pixels, 0, -1)
    if not fits:
        raise DatasetError(
            f"{path}: {kind} cannot hold {len(channels)} channel(s) of {channels.dtype}",
            "write .tif or .nii.gz, or one file per channel",
        )
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, format=kind)


def _pixels(picture: Image.Image, *, palette_as_numbers: bool) -> Array:
    if picture.mode == "P" and not palette_as_numbers:
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    if picture.mode in ("1", "P", "L", "I", "F") or picture.mode.startswith("I;16"):
        grey = np.asarray(picture)
        return np.array(grey, dtype=np.uint8 if grey.dtype == np.bool_ else grey.dtype.newbyteorder("="))[None, None]
    if picture.mode not in ("LA", "RGB", "RGBA"):
        raise ValueError(f"its pixels are {picture.mode}: store grey or RGB")
    colours = np.moveaxis(np.asarray(picture), -1, 0)
    if picture.mode != "RGB" and bool((colours[-1] == _OPAQUE).all()):
        colours = colours[:-1]
    return np.ascontiguousarray(colours)[:, None]


def _grid(size: tuple[int, ...]) -> Geometry:
    return Geometry((1, size[0], size[1]), SPACING_MM)
