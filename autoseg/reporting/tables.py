"""Reports as tables: CSV for spreadsheets, a drawn table on a terminal, plain columns elsewhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from autoseg.metrics.aggregate import MEAN
from autoseg.specs.report import Report, Score, Summary

HEADLINE = (
    "dice",
    "dice_global",
    "lesionwise_dice",
    "iou",
    "precision",
    "recall",
    "hd95_mm",
    "lesionwise_hd95_mm",
    "ravd_percent",
    "assd_mm",
    "mssd_mm",
    "nsd",
    "lesion_f1",
    "lesion_precision_gt50",
    "lesion_recall_gt50",
    "burden_rmse",
    "volume_difference_ml",
)
"""Metrics of the table for the eye, as far as the protocol has them; the CSV and the report have all."""
NONE = "-"


def report_csv(report: Report) -> str:
    """One line per case and region, one column per metric; a cell is empty where the score is not defined."""
    metrics = tuple(
        dict.fromkeys(metric for case in report.cases for scores in case.regions.values() for metric in scores)
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("case", "region", *metrics))
    for case in report.cases:
        for region, scores in case.regions.items():
            writer.writerow((case.id, region, *(_cell(scores.get(metric)) for metric in metrics)))
    return text.getvalue()


def report_text(report: Report) -> str:
    """Means per region as aligned plain text, for logs and pipes."""
    header, *rows = _summary_rows(report)
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [aligned(row, widths) for row in (header, *rows)]
    return "\n".join((*lines, *_notes(report))) + "\n"


def report_table(report: Report) -> Table:
    """Means per region as a table for a terminal."""
    header, *rows = _summary_rows(report)
    table = Table(title=f"{len(report.cases)} cases, protocol {report.protocol}", caption="\n".join(_notes(report)))
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    return table


def print_report(report: Report, console: Console | None = None) -> None:
    """Show the means: drawn on a terminal, plain text elsewhere."""
    console = console or Console()
    if console.is_terminal:
        console.print(report_table(report))
    else:
        console.file.write(report_text(report))


def _summary_rows(report: Report) -> list[tuple[str, ...]]:
    known = {metric for metrics in report.summary.values() for metric in metrics}
    shown = [metric for metric in HEADLINE if metric in known] or sorted(known)
    rows = [("region", *shown, "dice ci95" if "dice" in known else "cases")]
    for region, metrics in report.summary.items():
        last = _interval(metrics.get("dice")) if "dice" in known else str(len(report.cases))
        rows.append((region, *(_mean(metrics.get(metric)) for metric in shown), last))
    return rows


def _notes(report: Report) -> list[str]:
    """What the means leave out, one line per region and reason."""
    left_out: dict[tuple[str, str, int], list[str]] = {}
    for region, metrics in report.summary.items():
        for metric in HEADLINE:
            undefined = metrics[metric].undefined if metric in metrics and region != MEAN else {}
            for reason, count in undefined.items():
                left_out.setdefault((region, reason, count), []).append(metric)
    return [
        f"{region}: {count} of {len(report.cases)} cases {reason}, not in the mean of {', '.join(metrics)}"
        for (region, reason, count), metrics in left_out.items()
    ]


def aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """The first column to the left, the numbers to the right."""
    first, *others = row
    numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
    return "  ".join((first.ljust(widths[0]), *numbers))


def _cell(score: Score | None) -> str:
    return "" if score is None or score.value is None else f"{score.value:.10g}"


def _mean(summary: Summary | None) -> str:
    return NONE if summary is None or summary.mean is None else f"{summary.mean:.4f}"


def _interval(summary: Summary | None) -> str:
    return NONE if summary is None or summary.ci95 is None else f"{summary.ci95[0]:.4f}..{summary.ci95[1]:.4f}"
