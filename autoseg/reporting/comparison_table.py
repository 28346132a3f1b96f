"""A comparison of methods as CSV, as Markdown and as a table for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from autoseg.metrics.aggregate import MEAN
from autoseg.metrics.paired import Difference
from autoseg.reporting.comparison import METRICS, Comparison, Row
from autoseg.reporting.run_costs import Costs
from autoseg.reporting.tables import aligned
from autoseg.specs.report import Summary

NONE = "-"
MOST_REGION_COLUMNS = 4
DIGITS = {"accuracy": 4, "hd95_mm": 1}
"""Behind the point, where it is not 3: nearly all voxels are background, and HD95 is in millimetres."""
COST_TITLES = ("", "parameters", "seconds per update", "peak memory")
NOTE = """Brackets: 95 % bootstrap interval of the mean over cases. The difference to the first row draws the same cases
of both (paired). (n) behind a score: cases that have one, where not all do. Seconds per update include loading and
the validation of each epoch; memory is resident memory of the process, on a GPU that of its tensors."""


def comparison_csv(comparison: Comparison) -> str:
    """One line per row and region: every metric with its interval and number of cases, the gain, the costs."""
    header = ["method", "configuration", "train_fraction", "region", "cases"]
    header += [metric + part for metric in METRICS for part in ("", "_low", "_high", "_cases")]
    header += ["dice_gain", "dice_gain_low", "dice_gain_high"]
    header += ["parameters", "seconds_per_step", "peak_memory_bytes", "problem"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in comparison.rows:
        entry, costs = row.entry, row.entry.costs or Costs(None, None, None)
        for region in comparison.regions if row.summary else ("",):
            cells = [entry.method, entry.configuration, f"{entry.fraction:g}", region, str(len(entry.cases))]
            for metric in METRICS:
                cells += _numbers(row.summary.get(region, {}).get(metric))
            gain = row.gain.get(region, Difference(None, None))
            cells += map(_plain, (gain.mean, *(gain.ci95 or (None, None))))
            cells += map(_plain, (costs.parameters, costs.seconds_per_step, costs.peak_memory_bytes))
            writer.writerow([*cells, entry.problem])
    return text.getvalue()


def comparison_markdown(comparison: Comparison) -> str:
    """One table per region, intervals in brackets; then the costs, and why rows are missing."""
    count = len(comparison.case_ids)
    scored = [(name, row) for name, row in zip(comparison.names(), comparison.rows, strict=True) if row.summary]
    parts = [f"# {comparison.dataset}: {len(comparison.rows)} trainings compared on {count} held-out cases\n"]
    for region in comparison.regions if scored else ():
        rows = [
            (name, *(_with_interval(row, region, metric, count) for metric in METRICS), _gain_text(row, region))
            for name, row in scored
        ]
        table = _markdown_table(("", *METRICS.values(), "Dice above the first"), rows)
        parts.append(f"## {'Mean of the regions' if region == MEAN else region}\n\n{table}")
    if scored:
        table = _markdown_table(COST_TITLES, [(name, *cost_texts(row.entry.costs)) for name, row in scored])
        parts.append(f"## Costs of training\n\n{table}")
    parts += [f"- {line}" for line in problems(comparison)]
    return "\n".join((*parts, "", NOTE)) + "\n"


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Means over the regions, Dice of each, costs: drawn on a terminal, plain columns elsewhere.

    On a terminal that is too narrow for one line per method, methods are columns.
    """
    console = console or Console()
    title = f"{comparison.dataset}: {len(comparison.case_ids)} held-out cases"
    rows = _terminal_rows(comparison)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if console.is_terminal:
        narrow = sum(widths) + 2 * len(widths) > console.width
        console.print(_drawn(title, list(zip(*rows, strict=True)) if narrow else rows))
    else:
        console.file.write("\n".join((title, *(aligned(row, widths).rstrip() for row in rows))) + "\n")
    for line in problems(comparison):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _drawn(title: str, rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if index else "left", no_wrap=not index)
    for cells in rows[1:]:
        table.add_row(*cells)
    return table


def problems(comparison: Comparison) -> tuple[str, ...]:
    """One line per row without scores."""
    pairs = zip(comparison.names(), comparison.rows, strict=True)
    return tuple(f"{name} has no scores: {row.entry.problem}" for name, row in pairs if row.entry.problem)


def cost_texts(costs: Costs | None) -> tuple[str, str, str]:
    """Parameters, seconds per update and memory for the eye."""
    if costs is None:
        return NONE, NONE, NONE
    millions = NONE if costs.parameters is None else f"{costs.parameters / 1e6:.3g} M"
    seconds = NONE if costs.seconds_per_step is None else f"{costs.seconds_per_step:.3g} s"
    memory = NONE if costs.peak_memory_bytes is None else f"{costs.peak_memory_bytes / 2**30:.2f} GiB"
    return millions, seconds, memory


def _terminal_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    single = comparison.regions[1:]
    shown = single if 1 < len(single) <= MOST_REGION_COLUMNS else ()
    metrics = list(METRICS)
    titles = [METRICS[metric] for metric in metrics]
    rows = [
        ("", titles[0], "95 % interval", "above the first", *shown, *titles[1:], "parameters", "per update", "memory")
    ]
    for name, row in zip(comparison.names(), comparison.rows, strict=True):
        if not row.summary:
            rows.append((name, *(NONE,) * (len(rows[0]) - 1)))
            continue
        dice = tuple(_mean(row, region, "dice") for region in shown)
        others = tuple(_mean(row, MEAN, metric) for metric in metrics[1:])
        ends = (_interval(row, MEAN, "dice", " to "), _gain_text(row, MEAN))
        rows.append((name, _mean(row, MEAN, "dice"), *ends, *dice, *others, *cost_texts(row.entry.costs)))
    return rows


def _gain_text(row: Row, region: str) -> str:
    gain = row.gain.get(region)
    if gain is None or gain.mean is None:
        return NONE
    interval = "" if gain.ci95 is None else f" ({gain.ci95[0]:+.3f} to {gain.ci95[1]:+.3f})"
    return f"{gain.mean:+.3f}{interval}"


def _numbers(summary: Summary | None) -> list[str]:
    if summary is None:
        return [""] * 4
    low, high = summary.ci95 or (None, None)
    return [_plain(summary.mean), _plain(low), _plain(high), str(summary.cases)]


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _mean(row: Row, region: str, metric: str) -> str:
    summary = row.summary[region].get(metric)
    return NONE if summary is None or summary.mean is None else f"{summary.mean:.{DIGITS.get(metric, 3)}f}"


def _interval(row: Row, region: str, metric: str, between: str) -> str:
    summary = row.summary[region].get(metric)
    if summary is None or summary.ci95 is None:
        return NONE
    return between.join(f"{end:.{DIGITS.get(metric, 3)}f}" for end in summary.ci95)


def _with_interval(row: Row, region: str, metric: str, cases: int) -> str:
    summary, interval = row.summary[region].get(metric), _interval(row, region, metric, ", ")
    if summary is None or summary.mean is None:
        return NONE
    bracket = "" if interval == NONE else f" [{interval}]"
    return f"{_mean(row, region, metric)}{bracket}{'' if summary.cases == cases else f' ({summary.cases})'}"


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
