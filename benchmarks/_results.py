"""Rows of a comparison, their arithmetic, and the result file that they are kept in."""

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

from benchmarks._table import markdown


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


class Results:
    """One machine's result file, with the table beside it.

    Attributes:
        run: Name of this run, which every row added carries.
        table: The Markdown file.
    """

    def __init__(self, path: Path, head: dict[str, Any], run: str) -> None:
        self.run = run
        self.table = path.with_suffix(".md")
        self._path, self._head = path, head
        known = json.loads(path.read_text()) if path.is_file() else {}
        self._rows: list[dict[str, Any]] = known.get("rows", [])
        self._left_out: dict[str, str] = known.get("left_out", {})

    def holds(self, group: str) -> bool:
        """Whether this run has measured a group."""
        return any(row["group"] == group and row["run"] == self.run for row in self._rows)

    def add(self, group: str, rows: Sequence[Row]) -> None:
        """Write the rows of a group where its older ones were."""
        new = [row.to_json() | {"group": group, "run": self.run} for row in rows]
        places = [index for index, row in enumerate(self._rows) if row["group"] == group]
        place = places[0] if places else len(self._rows)
        others = [row for row in self._rows[place:] if row["group"] != group]
        self._rows = [*self._rows[:place], *new, *others]
        self._left_out.pop(group, None)
        self._write()

    def skip(self, group: str, reason: str) -> None:
        """Note why a group is missing, unless it was measured before."""
        if not any(row["group"] == group for row in self._rows):
            self._left_out[group] = reason
            self._write()

    def _write(self) -> None:
        document = {"machine": self._head, "rows": self._rows, "left_out": self._left_out}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(document, indent=1) + "\n")
        self.table.write_text(markdown(document))
