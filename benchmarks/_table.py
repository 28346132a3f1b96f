"""The Markdown table of a result file, for readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BUSY = 1.5
"""Processes running per core at the start above which a figure is marked: something else was working."""


def markdown(document: dict[str, Any]) -> str:
    """The table, its head and its notes."""
    head, rows = document["machine"], document["rows"]
    lines = [
        f"# {head['cpu_model']}, {head['cores']} cores, {head['memory_gib']} GiB",
        "",
        "Medians (least to greatest); ratio is nnU-Net v2 over autoseg, above 1 autoseg needs less. The bar is the",
        "least ratio asked for; the limit is what the machine itself would need, and its share of autoseg's figure.",
        "",
        *([f"The machine at its best: {head['rates']}.", ""] if "rates" in head else []),
        "| measurement | unit | autoseg | nnU-Net v2 | ratio | bar | limit |",
        "|---|---|---:|---:|---:|---:|---:|",
        *(_line(row) for row in rows),
    ]
    if any(row["load"] > BUSY for row in rows):
        lines += ["", "\\* other programs were working: only the ratio says something."]
    lines += _section("Results beside the times:", _checks(rows))
    lines += _section("Failures:", _failures(rows))
    lines += _section("Not measured:", [f"- {group}: {why}" for group, why in document.get("left_out", {}).items()])
    lines += _section("What was run:", [_command(row) for row in rows])
    versions = sorted({f"{name} {version}" for row in rows for name, version in row["versions"].items()})
    lines += ["", f"Versions: {', '.join(versions)}.", ""]
    return "\n".join(lines)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, "", *lines] if lines else []


def _line(row: dict[str, Any]) -> str:
    name = f"{row['name']}{' *' if row['load'] > BUSY else ''}"
    both = f"{_cell(row, 'ours')} | {_cell(row, 'peer')}"
    return f"| {name} | {row['unit']} | {both} | {_times(row['ratio'])} | {_bar(row)} | {_limit(row)} |"


def _bar(row: dict[str, Any]) -> str:
    if row["bar"] is None:
        return ""
    missed = row["ratio"] is not None and row["ratio"] < row["bar"]
    return f"{row['bar']:g}{' (missed)' if missed else ''}"


def _limit(row: dict[str, Any]) -> str:
    if row["limit"] is None:
        return ""
    value = row["limit"]["value"]
    return f"{_number(value)} ({value / row['ours']:.0%})" if row["ours"] else _number(value)


def _checks(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = []
    for row in rows:
        for check in row["checks"]:
            bounds = [f"{word} {check[word]:g}" for word in ("least", "most") if check[word] is not None]
            asked = "".join(f" (asked for: {bound})" for bound in bounds)
            verdict = "" if check["kept"] else ", MISSED"
            lines.append(f"- {row['name']}: {check['name']} {check['value']:.6g}{asked}{verdict}")
    return lines


def _failures(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"- {row['name']}, {program}: {row['details'][side]['failure']}"
        for row in rows
        for side, program in (("ours", "autoseg"), ("peer", "nnU-Net v2"))
        if row["details"][side]["failure"]
    ]


def _command(row: dict[str, Any]) -> str:
    limit = "" if row["limit"] is None else f"; limit: {row['limit']['of']}"
    return f"- {row['name']} ({row['date'][:10]}): `{row['command']}`{_facts(row['facts'])}{limit}"


def _cell(row: dict[str, Any], side: str) -> str:
    value, spread = row[side], row["spread"][side]
    if value is None:
        return "failed" if row["details"][side]["failure"] else "-"
    if len(row["details"][side]["values"]) == 1:
        return _number(value)
    return f"{_number(value)} ({_number(spread[0])} to {_number(spread[1])})"


def _facts(facts: dict[str, Any]) -> str:
    return "".join(f"; {name} {value}" for name, value in facts.items())


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
