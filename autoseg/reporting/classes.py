"""The share of each class in every split as a picture: are training and held-out cases alike?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.core.labels import value_names
from autoseg.reporting.figure import FAINT, GRID, INK, new_figure, save_figure
from autoseg.reporting.plan_table import class_voxels, split_sides
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.splits import Splits

PANELS_PER_ROW = 4
WIDTH_INCHES, BAR_INCHES, TITLE_INCHES = 12.0, 0.19, 0.75
ALL, TRAIN, HELD_OUT = "#6b7785", "#2a9df4", "#f2b134"


def draw_classes(
    labels: Mapping[str, int | Sequence[int]], fingerprint: Fingerprint, splits: Splits, picture: Path
) -> None:
    """Draw one panel per label value: its share of all voxels, over everything and on each side of each fold.

    Args:
        labels: As in `dataset.json`.
        fingerprint: Holds the counts.
        splits: The folds.
        picture: PNG to write.
    """
    names = value_names(labels)
    sides = [
        (title, len(cases), class_voxels(fingerprint, cases, tuple(names)))
        for title, cases in split_sides(fingerprint, splits)
    ]
    columns = min(PANELS_PER_ROW, len(names))
    rows = math.ceil(len(names) / columns)
    height = rows * (BAR_INCHES * len(sides) + TITLE_INCHES) + 0.7
    figure = new_figure(WIDTH_INCHES * (0.3 + 0.7 * columns / PANELS_PER_ROW), height)
    figure.suptitle(f"{fingerprint.dataset}: share of the voxels per class and split", fontsize=13, x=0.01, ha="left")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, (value, name) in zip(panels, names.items(), strict=False):
        shares = [100 * counts[value] / max(1, sum(counts.values())) for _, _, counts in sides]
        _draw_class(axes, name, sides=[title for title, _, _ in sides], shares=shares)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_yticks(range(len(sides)), [f"{title} ({count})" for title, count, _ in sides], fontsize=8)
        axes.set_ylim(len(sides) - 0.4, -0.6)
    save_figure(figure, picture)


def _draw_class(axes: Any, name: str, *, sides: Sequence[str], shares: Sequence[float]) -> None:
    colours = [ALL if side == "all" else TRAIN if side.endswith("train") else HELD_OUT for side in sides]
    largest = max(*shares, 1e-12)
    axes.barh(range(len(shares)), shares, height=0.7, color=colours)
    axes.axvline(shares[0], color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))
    for place, share in enumerate(shares):
        axes.text(1.3 * largest, place, f"{share:.3g} %", va="center", ha="right", fontsize=7.5, color=INK)
    axes.set_xlim(0, 1.32 * largest)
    axes.set_title(name, fontsize=10, loc="left")
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(GRID)
