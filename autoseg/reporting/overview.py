"""Sample slices of cases with reference and prediction side by side, as one PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.atomic import write_bytes

COLOURS = ("#e6550d", "#3182bd", "#31a354", "#756bb1", "#d6bf27", "#17becf", "#e377c2", "#8c564b")
"""Per label, repeated when there are more."""


@dataclass(frozen=True)
class Sample:
    """One row of the picture.

    Attributes:
        title: Case and score.
        image: (Z, Y, X) of one channel.
        reference: (Z, Y, X) labels.
        prediction: (Z, Y, X) labels.
        spacing_mm: (z, y, x).
    """

    title: str
    image: npt.NDArray[Any]
    reference: npt.NDArray[np.integer[Any]]
    prediction: npt.NDArray[np.integer[Any]]
    spacing_mm: tuple[float, float, float]


def draw_overview(samples: Sequence[Sample], picture: Path, *, labels: dict[int, str], title: str) -> None:
    """Draw image, reference and prediction of the slice with the most foreground of each sample."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(9.6, 3.1 * len(samples) + 0.9), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(samples), 3, squeeze=False)
    for row, sample in zip(grid, samples, strict=True):
        _draw_row(row, sample)
    for axes, name in zip(grid[0], ("image", "reference", "prediction"), strict=True):
        axes.set_title(f"{name}\n{axes.get_title()}" if axes.get_title() else name, fontsize=10)
    handles = [Patch(color=_colour(value), label=name) for value, name in labels.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), frameon=False)
    figure.suptitle(title, fontsize=12)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_bytes(picture, buffer.getvalue())


def _draw_row(row: Sequence[Any], sample: Sample) -> None:
    index = int(np.argmax((sample.reference > 0).sum(axis=(1, 2)) + (sample.prediction > 0).sum(axis=(1, 2))))
    low, high = np.percentile(sample.image[index], (1, 99.5))
    aspect = sample.spacing_mm[1] / sample.spacing_mm[2]
    for axes, labels in zip(row, (None, sample.reference[index], sample.prediction[index]), strict=True):
        axes.imshow(sample.image[index], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect)
        for value in np.unique(labels)[0:] if labels is not None else ():
            if value > 0:
                mask = np.asarray(labels == value, float)
                axes.contourf(mask, levels=(0.5, 1.5), colors=[_colour(int(value))], alpha=0.35)
                axes.contour(mask, levels=(0.5,), colors=[_colour(int(value))], linewidths=1.2)
        axes.set_xticks([])
        axes.set_yticks([])
    row[0].set_ylabel(sample.title, fontsize=9)


def _colour(value: int) -> str:
    return COLOURS[(value - 1) % len(COLOURS)]
