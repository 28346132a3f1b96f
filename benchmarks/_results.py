"""Rows of a comparison, their arithmetic, and the two files: JSON for machines, Markdown for readers."""

from __future__ import annotations

import json
import os
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

BUSY = 1.5
"""Processes running per core at the start above which a figure is marked: something else was working."""


@dataclass(frozen=True)
class Side:
    """Repeated values of one program.

    Attributes:
        values: One per repetition; empty when it failed or was not run.
        failure: Why there are none.
        runs: Wall seconds, CPU seconds and peak memory of every process behind the values.
    """

    values: tuple[float, ...] = ()
    failure: str | None = None
    runs: tuple[dict[str, float], ...] = ()

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def spread(self) -> tuple[float, float] | None:
        return (min(self.values), max(self.values)) if self.values else None


@dataclass(frozen=True)
class Check:
    """A result beside a time that must hold for the time to count, e.g. the Dice against the peer's masks.

    Attributes:
        name: What was compared.
        value: What was found.
        least: Not to fall below it.
        most: Not to pass it.
    """

    name: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def kept(self) -> bool:
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)


@dataclass(frozen=True)
class Limit:
    """What the machine itself would need for the same work.

    Attributes:
        value: In the row's unit.
        of: How it was worked out, e.g. `1.2 TFLOP at 350 GFLOP/s (bf16 matrix multiply)`.
    """

    value: float
    of: str


@dataclass(frozen=True)
class Row:
    """One line of the table; smaller is better for every unit.

    Attributes:
        name: `group` or `group: variant`.
        unit: Of both sides.
        ours: Values of autoseg.
        peer: Values of nnU-Net v2.
        command: What was run, ours and the peer's.
        versions: Package -> version.
        date: UTC.
        load: Running processes per core just before.
        facts: What was computed, where the command does not say.
        bar: Least ratio to reach, or None.
        checks: What must hold besides.
        limit: What the machine would need, or None.
    """

    name: str
    unit: str
    ours: Side
    peer: Side
    command: str
    versions: dict[str, str]
    load: float
    facts: dict[str, Any] = field(default_factory=dict)
    bar: float | None = None
    checks: tuple[Check, ...] = ()
    limit: Limit | None = None
    date: str = field(default_factory=lambda: time.strftime("%FT%TZ", time.gmtime()))

    @property
    def ratio(self) -> float | None:
        """The peer's median over ours: above 1 we need less."""
        return ratio(self.ours.median, self.peer.median)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the JSON file."""
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours.median,
            "peer": self.peer.median,
            "ratio": self.ratio,
            "spread": {"ours": self.ours.spread, "peer": self.peer.spread},
            "command": self.command,
            "versions": self.versions,
            "date": self.date,
            "load": self.load,
            "facts": self.facts,
            "bar": self.bar,
            "checks": [asdict(check) | {"kept": check.kept} for check in self.checks],
            "limit": None if self.limit is None else asdict(self.limit),
            "details": {"ours": asdict(self.ours), "peer": asdict(self.peer)},
        }


def ratio(ours: float | None, peer: float | None) -> float | None:
    """`peer / ours`; None when one of them is missing or ours is 0."""
    return None if not ours or peer is None else peer / ours


def load_per_core() -> float:
    """Running processes of the last minute per core."""
    return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)


def machine_name(cores: int, cpu_model: str) -> str:
    """`2-cores-amd-epyc`: the name of a machine's result files."""
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", " ", cpu_model.lower())).strip("-")
    return f"{cores}-cores-{slug}"


def write_results(folder: Path, machine: str, rows: Sequence[Row], *, head: dict[str, Any]) -> Path:
    """Merge new rows into `<machine>.json`, and write `<machine>.md` from it.

    Returns:
        The Markdown file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{machine}.json"
    known: dict[str, Any] = {}
    if path.is_file():
        known = {row["name"]: row for row in json.loads(path.read_text())["rows"]}
    known |= {row.name: row.to_json() for row in rows}
    document = {"machine": head, "rows": list(known.values())}
    path.write_text(json.dumps(document, indent=1) + "\n")
    table = path.with_suffix(".md")
    table.write_text(markdown(document))
    return table


def markdown(document: dict[str, Any]) -> str:
    """The table, its head and its notes."""
    head, rows = document["machine"], document["rows"]
    lines = [
        f"# {head['cpu_model']}, {head['cores']} cores, {head['memory_gib']} GiB",
        "",
        "Medians (least to greatest); ratio is nnU-Net v2 over autoseg, above 1 autoseg needs less.",
        "",
        "| measurement | unit | autoseg | nnU-Net v2 | ratio |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {row['name']}{' *' if row['load'] > BUSY else ''} | {row['unit']} | {_cell(row, 'ours')} "
        f"| {_cell(row, 'peer')} | {_times(row['ratio'])} |"
        for row in rows
    ]
    if any(row["load"] > BUSY for row in rows):
        lines += ["", "\\* other programs were working: only the ratio says something."]
    failures = [
        f"- {row['name']}, {program}: {row['details'][side]['failure']}"
        for row in rows
        for side, program in (("ours", "autoseg"), ("peer", "nnU-Net v2"))
        if row["details"][side]["failure"]
    ]
    if failures:
        lines += ["", "Failures:", "", *failures]
    lines += ["", "What was run:", ""]
    lines += [f"- {row['name']} ({row['date'][:10]}): `{row['command']}`{_facts(row['facts'])}" for row in rows]
    versions = sorted({f"{name} {version}" for row in rows for name, version in row["versions"].items()})
    lines += ["", f"Versions: {', '.join(versions)}.", ""]
    return "\n".join(lines)


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
