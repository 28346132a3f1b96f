"""DICOM slices to volumes: series told apart by geometry, stacked by position, irregular ones refused with numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.io._dicom_slices import Slice, read_pixels, read_slice, read_slice_and_pixels
from autoseg.io.archive import Entry

__all__ = [
    "Series", "Slice", "geometry_of", "read_series", "read_slice", "read_slice_and_pixels", "sort_series", "volume_of",
]  # fmt: skip

Array = npt.NDArray[Any]
_LOCALIZERS = {"LOCALIZER", "SCOUT", "TOPOGRAM"}
_SAME_COSINE = 1e-3
_SAME_PIXEL_MM = 1e-4
_SAME_POSITION_MM = 1e-3
# Positions are often written with one decimal, so that equal steps differ by up to a tenth of a millimetre.
_STEP_TOLERANCE_MM = 0.1
_STEP_TOLERANCE_SHARE = 0.02
_DIGITS = 6
_CURE_SLICES = "export the series again"


@dataclass(frozen=True)
class Series:
    """Slices of one series on parallel planes with equal pixels, sorted along their normal.

    Attributes:
        slices: At least one.
        aside: What was left out, one line each (localizers, copies of a slice, files that are no images).
    """

    slices: tuple[Slice, ...]
    aside: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """How to name it to a person: number, description, size and identifier."""
        first = self.slices[0]
        rows, columns = first.shape
        words = (f"number {first.series_number}", f"'{first.description}'", first.modality)
        size = f"{len(self.slices)} slices of {rows} x {columns}"
        return ", ".join(word for word in (*words, size, first.series) if word not in ("number ", "''", ""))


def read_series(entries: Iterable[Entry], *, strict: bool = False) -> tuple[tuple[Series, ...], tuple[str, ...]]:
    """Every series among files, largest first, and what was set aside.

    Args:
        entries: Files in any order; pixels are not read.
        strict: Whether a file that is no DICOM image is an error.

    Raises:
        DatasetError: A header lacks what is needed, or a file is no image and `strict` is set.
    """
    slices, aside = [], []
    for entry in entries:
        found = read_slice(entry)
        if isinstance(found, Slice):
            slices.append(found)
        elif strict:
            raise DatasetError(f"{entry.where} {found}", "remove the file or export it again")
        else:
            aside.append(f"{entry.where} {found}")
    series, localizers = sort_series(slices)
    return series, (*aside, *localizers)


def sort_series(slices: Iterable[Slice]) -> tuple[tuple[Series, ...], tuple[str, ...]]:
    """Group slices by series identifier, orientation and pixel grid; localizers and copies are set aside."""
    groups: list[list[Slice]] = []
    aside, seen = [], set()
    for item in sorted(slices, key=lambda item: (item.series, item.number, item.where)):
        if _LOCALIZERS & set(item.kind):
            aside.append(f"{item.where} is a localizer")
        elif item.uid in seen:
            aside.append(f"{item.where} is a copy of another slice")
        else:
            seen.add(item.uid)
            group = next((group for group in groups if _same_stack(group[0], item)), None)
            if group is None:
                groups.append([item])
            else:
                group.append(item)
    series = [Series(tuple(sorted(group, key=_order))) for group in groups]
    return tuple(sorted(series, key=lambda one: (-len(one.slices), one.slices[0].series))), tuple(aside)


def volume_of(series: Series) -> tuple[Array, Geometry]:
    """Rescaled voxels (Z, Y, X), int16 where they are integers that fit, else float32, and their grid.

    Raises:
        DatasetError: As `geometry_of`, or pixels that cannot be read.
    """
    geometry = geometry_of(series.slices)
    if all(item.is_integer for item in series.slices):
        volume = np.empty(geometry.shape, np.int32)
        for target, item in zip(volume, series.slices, strict=True):
            target[:] = read_pixels(item) * np.int32(item.slope) + np.int32(item.intercept)
        limits = np.iinfo(np.int16)
        fits = limits.min <= volume.min() and volume.max() <= limits.max
        return (volume.astype(np.int16) if fits else volume.astype(np.float32)), geometry
    scaled = np.empty(geometry.shape, np.float32)
    for index, item in enumerate(series.slices):
        scaled[index] = read_pixels(item) * np.float64(item.slope) + item.intercept
    return scaled, geometry


def geometry_of(slices: Sequence[Slice]) -> Geometry:
    """Grid of sorted slices; the spacing along z is that of the positions, whatever the slice thickness says.

    Raises:
        DatasetError: Fewer than two slices, two at one position, a gap, uneven steps, or a tilted gantry.
    """
    first = slices[0]
    if len(slices) < 2:
        raise DatasetError(f"{first.where} is the only slice of its series", "give a series of at least two slices")
    along = np.array([item.along_mm for item in slices])
    steps = np.diff(along)
    _refuse_doubles(slices, steps)
    _refuse_gaps(slices, steps)
    _refuse_tilt(slices)
    step = round(float(along[-1] - along[0]) / (len(slices) - 1), _DIGITS)
    x, y, z = first.position_mm
    axes = np.stack([first.normal, first.column, first.row], axis=1)[::-1] + 0.0
    return Geometry(
        shape=(len(slices), *first.shape),
        spacing_mm=(step, round(first.pixel_mm[0], _DIGITS), round(first.pixel_mm[1], _DIGITS)),
        origin_mm=(z, y, x),
        direction=tuple(tuple(float(value) for value in row) for row in axes),  # type: ignore[arg-type]
    )


def _order(item: Slice) -> tuple[float, int]:
    # Positions are rounded so that the instance number decides where two are equal but for noise.
    return (round(item.along_mm, 3), item.number)


def _same_stack(one: Slice, other: Slice) -> bool:
    return (
        one.series == other.series
        and one.shape == other.shape
        and np.allclose(one.pixel_mm, other.pixel_mm, rtol=0, atol=_SAME_PIXEL_MM)
        and np.allclose((one.row, one.column), (other.row, other.column), rtol=0, atol=_SAME_COSINE)
    )


def _refuse_doubles(slices: Sequence[Slice], steps: npt.NDArray[np.float64]) -> None:
    double = np.flatnonzero(steps < _SAME_POSITION_MM)
    if len(double):
        one, other = slices[double[0]], slices[double[0] + 1]
        raise DatasetError(
            f"{one.where} and {other.where} lie at the same position, {one.along_mm:.3f} mm "
            f"({len(double)} such pairs in {len(slices)} slices)",
            "keep one of them; scans of several phases must be exported phase by phase",
        )


def _refuse_gaps(slices: Sequence[Slice], steps: npt.NDArray[np.float64]) -> None:
    usual = float(np.median(steps))
    uneven = np.flatnonzero(np.abs(steps - usual) > max(_STEP_TOLERANCE_MM, _STEP_TOLERANCE_SHARE * usual))
    if not len(uneven):
        return
    index = uneven[np.argmax(np.abs(steps[uneven] - usual))]
    one, other, step = slices[index], slices[index + 1], float(steps[index])
    places = f"between {one.where} ({one.along_mm:.3f} mm) and {other.where} ({other.along_mm:.3f} mm)"
    more = f"; {len(uneven)} steps of {len(steps)} are uneven" if len(uneven) > 1 else ""
    missing = round(step / usual) - 1
    if missing >= 1:
        count = f"{missing} slice{'s' if missing > 1 else ''} missing"
        raise DatasetError(f"{count} {places}: {step:.3f} mm instead of {usual:.3f}{more}", _CURE_SLICES)
    raise DatasetError(f"uneven step {places}: {step:.3f} mm instead of {usual:.3f}{more}", _CURE_SLICES)


def _refuse_tilt(slices: Sequence[Slice]) -> None:
    """Slices must lie above each other along their normal, to half a pixel over the whole stack."""
    first = slices[0]
    offsets = np.array([item.position_mm for item in slices]) - np.array(first.position_mm)
    sideways = offsets - np.outer(offsets @ first.normal, first.normal)
    shift_mm = np.linalg.norm(sideways, axis=1)
    worst = int(np.argmax(shift_mm))
    if shift_mm[worst] <= min(first.pixel_mm) / 2:
        return
    degrees = np.degrees(np.arctan2(shift_mm[worst], abs(slices[worst].along_mm - first.along_mm)))
    raise DatasetError(
        f"{slices[worst].where} lies {shift_mm[worst]:.2f} mm beside {first.where}: "
        f"the slices are tilted by {degrees:.1f} degrees",
        "correct the gantry tilt first, e.g. by resampling with dcm2niix",
    )
