"""Sample slices of cases with reference and prediction side by side, as one PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.reporting.figure import colour_of, new_figure, save_figure

CT_WINDOW_HU = (-110.0, 230.0)
"""Soft tissue, as abdominal scans are read."""
WIDTH_INCHES, PANEL_INCHES, MARGIN_INCHES = 10.0, 3.15, 1.05
MARGIN_VOXELS = 3


@dataclass(frozen=True)
class Sample:
    """One row of the picture.

    Attributes:
        title: Case.
        scores: One line per region.
        image: (Z, Y, X) of one channel.
        reference: (Z, Y, X) labels.
        prediction: (Z, Y, X) labels.
        spacing_mm: (z, y, x).
        window: Grey values drawn black and white; None takes them from the slice.
    """

    title: str
    scores: tuple[str, ...]
    image: npt.NDArray[Any]
    reference: npt.NDArray[np.integer[Any]]
    prediction: npt.NDArray[np.integer[Any]]
    spacing_mm: tuple[float, float, float]
    window: tuple[float, float] | None = None


def draw_overview(samples: Sequence[Sample], picture: Path, *, labels: Mapping[int, str], title: str) -> None:
    """Draw image, reference and prediction of the most telling slice of each sample.

    Args:
        samples: Rows, from top to bottom.
        picture: PNG to write.
        labels: Value -> name of what is coloured.
        title: Heading.
    """
    from matplotlib.patches import Patch

    views = [_view(sample) for sample in samples]
    shares = [view.height_share for view in views]
    figure = new_figure(WIDTH_INCHES, PANEL_INCHES * sum(shares) + MARGIN_INCHES)
    grid = figure.subplots(len(samples), 3, squeeze=False, height_ratios=shares)
    for row, sample, view in zip(grid, samples, views, strict=True):
        _draw_row(row, sample, view)
    for axes, name in zip(grid[0], ("image", "reference", "prediction"), strict=True):
        axes.set_title(name, fontsize=11)
    handles = [Patch(color=colour_of(value), label=name) for value, name in labels.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), frameon=False, fontsize=10)
    figure.suptitle(title, fontsize=13)
    save_figure(figure, picture)


def telling_slice(reference: npt.NDArray[np.integer[Any]], prediction: npt.NDArray[np.integer[Any]]) -> int:
    """Slice that shows most: each label counts by the share of its voxels that lies there.

    A count of voxels would show the largest organ alone; shares let a small tumour weigh as much.

    Args:
        reference: (Z, Y, X) labels.
        prediction: (Z, Y, X) labels.
    """
    weight = np.zeros(len(reference))
    for array, importance in ((reference, 2.0), (prediction, 1.0)):
        for value in np.unique(array[array > 0]):
            voxels = (array == value).sum(axis=(1, 2))
            weight += importance * voxels / voxels.sum()
    return int(np.argmax(weight))


@dataclass(frozen=True)
class _View:
    """Part of a sample that is drawn.

    Attributes:
        slice_index: Which slice.
        window: Grey values drawn black and white.
        box: Rows and columns.
        height_share: Height of the drawn part over its width, in millimetres.
    """

    slice_index: int
    window: tuple[float, float]
    box: tuple[slice, slice]
    height_share: float


def _view(sample: Sample) -> _View:
    index = telling_slice(sample.reference, sample.prediction)
    image = sample.image[index]
    low, high = sample.window or _window(image)
    box = _box(_is_visible(image, low, high))
    rows, columns = image[box].shape
    return _View(index, (low, high), box, rows * sample.spacing_mm[1] / (columns * sample.spacing_mm[2]))


def _draw_row(row: Sequence[Any], sample: Sample, view: _View) -> None:
    (low, high), place = view.window, (view.slice_index, *view.box)
    aspect = sample.spacing_mm[1] / sample.spacing_mm[2]
    for axes, labels in zip(row, (None, sample.reference[place], sample.prediction[place]), strict=True):
        axes.imshow(sample.image[place], cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="bilinear")
        if labels is not None:
            _draw_labels(axes, labels)
        axes.set_xticks([])
        axes.set_yticks([])
    row[0].set_ylabel(sample.title, fontsize=10)
    style = {"color": "white", "fontsize": 9, "va": "bottom", "ha": "left"}
    patch = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 2.0}
    row[2].text(0.02, 0.03, "\n".join(sample.scores), transform=row[2].transAxes, bbox=patch, **style)


def _draw_labels(axes: Any, labels: npt.NDArray[np.integer[Any]]) -> None:
    for value in np.unique(labels[labels > 0]):
        mask = np.pad(np.asarray(labels == value, float), 1)
        grid = [np.arange(-1, size + 1) for size in labels.shape]
        colour = [colour_of(int(value))]
        axes.contourf(grid[1], grid[0], mask, levels=(0.5, 1.5), colors=colour, alpha=0.3)
        axes.contour(grid[1], grid[0], mask, levels=(0.5,), colors=colour, linewidths=1.4)
    axes.set_xlim(-0.5, labels.shape[1] - 0.5)
    axes.set_ylim(labels.shape[0] - 0.5, -0.5)


def _window(image: npt.NDArray[Any]) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(image, (1, 99.5)))
    return low, max(high, low + 1e-6)


def _is_visible(image: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.bool_]:
    """What is told from the surroundings, whose grey is that of most of the slice's border."""
    grey = np.clip(image, low, high)
    border = np.median(np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1])))
    visible: npt.NDArray[np.bool_] = np.abs(grey - border) > 0.1 * (high - low)
    return visible


def _box(visible: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns that hold something to see, with a margin."""
    spans = []
    for axis in (1, 0):
        places = np.flatnonzero(visible.any(axis=axis))
        first, last = (places[0], places[-1]) if len(places) else (0, visible.shape[1 - axis] - 1)
        spans.append(slice(max(0, int(first) - MARGIN_VOXELS), int(last) + MARGIN_VOXELS + 1))
    return spans[0], spans[1]
