"""The confusion matrix of an evaluation as a picture: of each true label, the share that was taken for each label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.reporting.figure import FAINT, INK, new_figure, save_figure
from autoseg.specs.report import Confusion

MOST_WRITTEN = 16
"""Labels up to which the numbers fit into their cells."""
MARGIN_INCHES, WRITTEN_INCHES, SMALL_INCHES = 2.4, 0.82, 0.26


def row_shares(confusion: Confusion) -> npt.NDArray[np.float64]:
    """Each row divided by its sum; a label without voxels in the references has a row of NaN."""
    voxels = np.array(confusion.voxels, dtype=np.float64).reshape(len(confusion.labels), -1)
    sums = voxels.sum(axis=1, keepdims=True)
    shares: npt.NDArray[np.float64] = np.divide(voxels, sums, out=np.full_like(voxels, np.nan), where=sums > 0)
    return shares


def draw_confusion(confusion: Confusion, picture: Path, *, title: str) -> None:
    """Draw the row-normalised matrix.

    Args:
        confusion: Counts over all cases.
        picture: PNG to write.
        title: Heading.
    """
    shares, names = row_shares(confusion), confusion.labels
    written = len(names) <= MOST_WRITTEN
    side = len(names) * (WRITTEN_INCHES if written else SMALL_INCHES)
    figure = new_figure(max(side, 2.0) + MARGIN_INCHES + 0.6, max(side, 2.0) + MARGIN_INCHES)
    axes = figure.subplots()
    # The root makes confusions of a few per cent visible beside a diagonal near 1.
    image = axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    if written:
        _write_shares(axes, shares)
    totals = [f"{name}\n{_count(sum(row))}" for name, row in zip(names, confusion.voxels, strict=True)]
    size = 10 if written else 6
    axes.set_xticks(
        range(len(names)), names, rotation=35 if written else 90, ha="right" if written else "center", fontsize=size
    )
    axes.set_yticks(range(len(names)), totals if written else names, fontsize=size)
    axes.set_xlabel("predicted", fontsize=11)
    axes.set_ylabel("true", fontsize=11)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    # Thin white lines between the cells.
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2 if written else 0.5)
    axes.tick_params(which="minor", length=0)
    axes.set_title(title, fontsize=12, loc="left", pad=12)
    if not written:
        bar = figure.colorbar(image, ax=axes, shrink=0.5, ticks=np.sqrt((0, 0.01, 0.1, 0.5, 1)))
        bar.set_ticklabels(["0", "1 %", "10 %", "50 %", "100 %"])
        bar.outline.set_visible(False)
    save_figure(figure, picture)


def _write_shares(axes: Any, shares: npt.NDArray[np.float64]) -> None:
    for row, column in np.ndindex(*shares.shape):
        share = float(shares[row, column])
        # White on the dark half of the colour scale.
        colour = "white" if share > 0.4 else INK if share >= 0.0005 else FAINT
        weight = "bold" if row == column else "normal"
        axes.text(column, row, share_text(share), ha="center", va="center", color=colour, fontsize=10, weight=weight)


def share_text(share: float) -> str:
    """Three digits; what rounds to 0 without being 0 is told apart from 0."""
    if np.isnan(share):
        return "none"
    if share == 0:
        return "0"
    if share < 0.0005:
        return "<.001"
    return "1" if share == 1 else ">.999" if share > 0.9995 else f"{share:.3f}".lstrip("0")


def _count(voxels: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if voxels >= size:
            return f"{voxels / size:.3g} {unit} voxels"
    return f"{voxels} voxels"
