"""A comparison of methods as one picture: scores with their intervals, costs, and Dice over the share of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autoseg.metrics.aggregate import MEAN
from autoseg.reporting.comparison import METRICS, Comparison, Row
from autoseg.reporting.figure import COLOURS, FAINT, GRID, INK, new_figure, save_figure
from autoseg.reporting.run_costs import Costs
from autoseg.specs.report import Summary

COSTS: dict[str, Callable[[Costs], float | None]] = {
    "parameters (M)": lambda costs: None if costs.parameters is None else costs.parameters / 1e6,
    "s per update": lambda costs: costs.seconds_per_step,
    "peak memory (GiB)": lambda costs: None if costs.peak_memory_bytes is None else costs.peak_memory_bytes / 2**30,
}
WIDTH_INCHES, ROW_INCHES, CURVE_INCHES = 15.0, 0.42, 3.6
MOST_REGIONS = 8
"""More regions than colours are not drawn apart."""


def draw_comparison(comparison: Comparison, picture: Path) -> None:
    """Draw one line per row and one panel per metric and cost; below, learning over the share of the data.

    Args:
        comparison: At least one row has scores.
        picture: PNG to write.
    """
    fractions = {row.entry.fraction for row in comparison.rows if row.summary}
    regions = comparison.regions[1:] if 1 < len(comparison.regions[1:]) <= MOST_REGIONS else ()
    dots_inches = 1.5 + ROW_INCHES * len(comparison.rows)
    figure = new_figure(WIDTH_INCHES, dots_inches + (CURVE_INCHES if len(fractions) > 1 else 0))
    count = len(comparison.case_ids)
    figure.suptitle(f"{comparison.dataset}: {count} held-out cases", fontsize=13, x=0.01, ha="left")
    top, bottom = figure, None
    if len(fractions) > 1:
        halves: Any = figure.subfigures(2, 1, height_ratios=(dots_inches, CURVE_INCHES))
        top, bottom = halves
    panels = top.subplots(1, len(METRICS) + len(COSTS), sharey=True, width_ratios=[1.5] + [1] * (len(METRICS) + 2))
    _draw_scores(panels[: len(METRICS)], comparison, regions)
    _draw_costs(panels[len(METRICS) :], comparison.rows)
    panels[0].set_yticks(range(len(comparison.rows)), comparison.names(), fontsize=10)
    panels[0].set_ylim(len(comparison.rows) - 0.4, -0.6)
    for axes in panels:
        _plain(axes)
    if regions:
        handles, labels = panels[0].get_legend_handles_labels()
        top.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    if bottom is not None:
        _draw_shares(bottom.subplots(1, max(1, len(regions) + 1), sharey=True, squeeze=False)[0], comparison, regions)
    save_figure(figure, picture)


def _draw_scores(panels: Sequence[Any], comparison: Comparison, regions: Sequence[str]) -> None:
    """Black: mean of the regions with its interval; in colour, a little lower: each region."""
    for axes, (metric, title) in zip(panels, METRICS.items(), strict=True):
        axes.set_title(title, fontsize=10)
        for place, row in enumerate(comparison.rows):
            if not row.summary:
                axes.plot([], [])
                continue
            for number, region in enumerate(regions):
                _dot(axes, row.summary[region].get(metric), place + 0.22, colour=COLOURS[number], size=4, label=region)
            _dot(axes, row.summary[MEAN].get(metric), place, colour=INK, size=6.5, label="mean" if regions else "")
    for place, row in enumerate(comparison.rows):
        if not row.summary:
            style = {"color": FAINT, "fontsize": 9, "style": "italic", "va": "center", "ha": "left"}
            panels[0].text(0.02, place, "no scores", transform=panels[0].get_yaxis_transform(), **style)


def _dot(axes: Any, summary: Summary | None, place: float, *, colour: str, size: float, label: str) -> None:
    if summary is None or summary.mean is None:
        return
    if summary.ci95 is not None:
        axes.plot(summary.ci95, (place, place), color=colour, linewidth=size / 4, alpha=0.75, solid_capstyle="butt")
    known = axes.get_legend_handles_labels()[1]
    axes.plot(summary.mean, place, "o", color=colour, markersize=size, label=None if label in known else label)


def _draw_costs(panels: Sequence[Any], rows: Sequence[Row]) -> None:
    for axes, (title, cost) in zip(panels, COSTS.items(), strict=True):
        axes.set_title(title, fontsize=10)
        values = [None if row.entry.costs is None else cost(row.entry.costs) for row in rows]
        largest = max((value for value in values if value is not None), default=1.0)
        for place, value in enumerate(values):
            if value is not None:
                axes.barh(place, value, height=0.45, color="#c9d3dd")
                axes.text(value + 0.03 * largest, place, f"{value:.3g}", va="center", fontsize=9, color=INK)
        axes.set_xlim(0, 1.35 * largest)
        axes.set_xticks([])


def _draw_shares(panels: Sequence[Any], comparison: Comparison, regions: Sequence[str]) -> None:
    """Dice over the share of the training cases, one line per method and configuration."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in comparison.rows:
        if row.summary:
            groups.setdefault((row.entry.method, row.entry.configuration), []).append(row)
    several = len({configuration for _, configuration in groups}) > 1
    for axes, region in zip(panels, (MEAN, *regions), strict=True):
        for number, ((method, configuration), rows) in enumerate(groups.items()):
            rows = sorted(rows, key=lambda row: row.entry.fraction)
            known = [
                (row.entry.fraction, found) for row in rows if (found := row.summary[region]["dice"]).mean is not None
            ]
            shares = [100 * share for share, _ in known]
            colour = COLOURS[(number + 2) % len(COLOURS)]
            name = f"{method} {configuration}" if several else method
            axes.plot(shares, [found.mean for _, found in known], "o-", color=colour, markersize=5, label=name)
            ends = [found.ci95 or (found.mean, found.mean) for _, found in known]
            axes.fill_between(shares, [low for low, _ in ends], [high for _, high in ends], color=colour, alpha=0.15)
        axes.set_title("mean of the regions" if region == MEAN else region, fontsize=10)
        axes.set_xlabel("training cases used (%)", fontsize=9)
        axes.set_xticks(sorted({100 * row.entry.fraction for row in comparison.rows}))
        _plain(axes, both=True)
    panels[0].set_ylabel("Dice", fontsize=10)
    panels[0].legend(frameon=False, fontsize=9, loc="lower right")


def _plain(axes: Any, *, both: bool = False) -> None:
    axes.grid(axis="both" if both else "x", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9)
    for side in ("top", "right") if both else ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color("#bbbbbb")
