"""The composite image of a data set: mean and maximum over all cases in one frame, with the box that holds them all."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autoseg.core.errors import AutosegError
from autoseg.core.workers import run_cases_growing
from autoseg.imageops.crop import box_bounds, nonzero_box
from autoseg.imageops.orient import canonical_orientation, orient, orient_geometry
from autoseg.io.raw import RawCase, read_case
from autoseg.reporting.figure import FAINT, new_figure, save_figure

Plane = npt.NDArray[np.float32]
Triple = tuple[float, float, float]
PERCENTILES = (0.5, 99.5)
SAMPLED_VOXELS = 200_000
"""Voxels that a channel's percentiles are taken from."""
VIEWS = ("axial", "coronal", "sagittal")
BOX_COLOUR = "#e5383b"
PANEL_INCHES = 4.0


@dataclass(frozen=True)
class Projections:
    """What of a case enters the composite.

    The mean over cases, seen along an axis, is the mean over cases of what each looks like along it: so planes are
    kept, never a sum of volumes.

    Attributes:
        planes: Mean along z, y and x of the image scaled to 0 to 1, canonical axes.
        size_mm: Extent (z, y, x).
        spacing_mm: (z, y, x).
        box_mm: First and last border of the voxels that are not zero, from the centre of the volume.
    """

    planes: tuple[Plane, ...]
    size_mm: Triple
    spacing_mm: Triple
    box_mm: tuple[Triple, Triple]


@dataclass(frozen=True)
class Composite:
    """All cases, centred on each other.

    Attributes:
        cases: Number of cases.
        mean: Mean over cases, along z, y and x.
        maximum: Maximum over cases of their means along z, y and x: where there is anything in any case.
        spacing_mm: Of the frame.
        shape_voxels: Of the frame.
        box_voxels: First and one-past-last voxel, per axis, of the smallest box with every voxel that is not zero.
    """

    cases: int
    mean: tuple[Plane, ...]
    maximum: tuple[Plane, ...]
    spacing_mm: Triple
    shape_voxels: tuple[int, int, int]
    box_voxels: tuple[tuple[int, int, int], tuple[int, int, int]]

    @property
    def kept(self) -> float:
        """Share of the frame inside the box."""
        first, last = self.box_voxels
        return float(np.prod(np.subtract(last, first)) / np.prod(self.shape_voxels))


def composite_of(cases: Sequence[RawCase], channels: Sequence[str], *, workers: int) -> Composite:
    """Read every case once.

    Args:
        cases: At least one.
        channels: Channel names.
        workers: Processes.

    Raises:
        DatasetError: A case cannot be read.
    """
    found: dict[str, Projections] = {}
    for outcome in run_cases_growing(functools.partial(project_case, channels=tuple(channels)), cases, workers=workers):
        if outcome.result is None:
            raise outcome.error or AutosegError(f"{outcome.item.case_id} was not read")
        found[outcome.item.case_id] = outcome.result
    return combine([found[case.case_id] for case in cases])


def project_case(case: RawCase, *, channels: tuple[str, ...]) -> Projections:
    """Planes of one case; its channels are scaled by their own percentiles and averaged."""
    image, geometry, _ = read_case(case, channels=channels)
    axes, flips = canonical_orientation(geometry)
    turned, grid = orient(image, axes, flips), orient_geometry(geometry, axes, flips)
    volume = np.mean([_scaled(channel) for channel in turned], axis=0, dtype=np.float32)
    centre, spacing = np.asarray(grid.shape) / 2, np.asarray(grid.spacing_mm)
    first, last = (_triple((np.asarray(corner) - centre) * spacing) for corner in box_bounds(nonzero_box(turned)))
    return Projections(
        planes=tuple(volume.mean(axis=axis, dtype=np.float32) for axis in range(3)),
        size_mm=_triple(np.asarray(grid.shape) * spacing),
        spacing_mm=grid.spacing_mm,
        box_mm=(first, last),
    )


def combine(found: Sequence[Projections]) -> Composite:
    """Centre all cases on each other, on a grid of their median spacing that holds the largest.

    Cases of one grid keep it, so that the box is exact in its voxels.
    """
    spacing = _triple(np.median([each.spacing_mm for each in found], axis=0))
    size = np.max([each.size_mm for each in found], axis=0)
    shape = [max(1, round(extent / step)) for extent, step in zip(size, spacing, strict=True)]
    mean, maximum = [], []
    for axis in range(3):
        kept = [other for other in range(3) if other != axis]
        placed = [_placed(each.planes[axis], each, kept, shape, spacing) for each in found]
        mean.append(np.mean(placed, axis=0))
        maximum.append(np.max(placed, axis=0))
    borders = [np.min([each.box_mm[0] for each in found], axis=0), np.max([each.box_mm[1] for each in found], axis=0)]
    voxels = [border / np.asarray(spacing) + np.asarray(shape) / 2 for border in borders]
    # A little tolerance, so that rounding of the millimetres does not add a voxel.
    first = [max(0, int(np.floor(value + 1e-3))) for value in voxels[0]]
    last = [min(length, int(np.ceil(value - 1e-3))) for value, length in zip(voxels[1], shape, strict=True)]
    box = ((first[0], first[1], first[2]), (last[0], last[1], last[2]))
    return Composite(len(found), tuple(mean), tuple(maximum), spacing, (shape[0], shape[1], shape[2]), box)


def draw_composite(composite: Composite, picture: Path, *, title: str) -> None:
    """Draw three views of the mean and of the maximum, with the box.

    Args:
        composite: What to draw.
        picture: PNG to write.
        title: Heading.
    """
    extent = [length * step for length, step in zip(composite.shape_voxels, composite.spacing_mm, strict=True)]
    widths, heights = (extent[2], extent[2], extent[1]), (extent[1], extent[0], extent[0])
    scale = PANEL_INCHES / max(*widths, *heights)
    figure = new_figure(sum(widths) * scale + 0.8, 2 * max(heights) * scale + 1.2)
    grid = figure.subplots(2, 3, squeeze=False, width_ratios=widths)
    for row, name, planes in zip(grid, ("mean", "maximum"), (composite.mean, composite.maximum), strict=True):
        for axis, axes in enumerate(row):
            _draw_view(axes, planes[axis], composite, axis=axis)
        row[0].set_ylabel(f"{name} over cases", fontsize=10)
    for axes, view in zip(grid[0], VIEWS, strict=True):
        axes.set_title(view, fontsize=10)
    figure.suptitle(title, fontsize=13, x=0.01, ha="left")
    figure.supxlabel(_box_text(composite), fontsize=9, color=FAINT)
    save_figure(figure, picture)


def _draw_view(axes: Any, plane: Plane, composite: Composite, *, axis: int) -> None:
    """One plane with the borders of the box."""
    from matplotlib.colors import PowerNorm
    from matplotlib.patches import Rectangle

    rows, columns = (other for other in range(3) if other != axis)
    aspect = composite.spacing_mm[rows] / composite.spacing_mm[columns]
    # Faint borders decide a crop: dark values get more of the grey scale.
    norm = PowerNorm(0.6, vmin=0, vmax=float(np.percentile(plane, 99.9)) or 1.0)
    # z grows upwards in the views that have it, as superior is up.
    axes.imshow(plane, cmap="gray", norm=norm, aspect=aspect, origin="upper" if axis == 0 else "lower")
    first, last = composite.box_voxels
    size = last[columns] - first[columns], last[rows] - first[rows]
    corner = (first[columns] - 0.5, first[rows] - 0.5)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=BOX_COLOUR, linewidth=1.6, clip_on=False, zorder=5))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _box_text(composite: Composite) -> str:
    first, last = composite.box_voxels
    size = " x ".join(str(end - start) for start, end in zip(first, last, strict=True))
    whole = " x ".join(str(length) for length in composite.shape_voxels)
    spacing = " x ".join(f"{step:.3g}" for step in composite.spacing_mm)
    return (
        f"box of all voxels that are not zero in some case: {size} of {whole} voxels of {spacing} mm (z, y, x), "
        f"{composite.kept:.0%} of the volume; {composite.cases} cases"
    )


def _scaled(channel: npt.NDArray[Any]) -> Plane:
    """0 to 1 between the percentiles of the channel."""
    step = max(1, round((channel.size / SAMPLED_VOXELS) ** (1 / 3)))
    low, high = (float(value) for value in np.percentile(channel[::step, ::step, ::step], PERCENTILES))
    scaled: Plane = np.clip((channel.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)
    return scaled


def _placed(plane: Plane, case: Projections, axes: Sequence[int], shape: Sequence[int], spacing: Triple) -> Plane:
    """A case's plane on the frame, centre on centre; zero where the case ends."""
    target = [shape[axis] for axis in axes]
    steps = [spacing[axis] / case.spacing_mm[axis] for axis in axes]
    if list(plane.shape) == target and np.allclose(steps, 1):
        return plane
    # Centre of a frame voxel, in voxels of the case: both count from the middle of the volume.
    offset = [
        (size - 1) / 2 - step * (wanted - 1) / 2 for size, step, wanted in zip(plane.shape, steps, target, strict=True)
    ]
    placed: Plane = ndimage.affine_transform(plane, steps, offset, output_shape=tuple(target), order=1, cval=0.0)
    return placed


def _triple(values: npt.NDArray[Any]) -> Triple:
    z, y, x = (float(value) for value in values)
    return z, y, x
