"""Guard of the speed: stages timed against plain loops, by turns, and compared with recorded ratios.

python -m benchmarks.ratchet [--only ROW ...]     exit code 1 when a row has fallen; see README.md in this folder
python -m benchmarks.ratchet --record             after a change that is meant to stay, or on a new kind of machine
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "results" / "ratchet.json"
ALLOWED_FALL = 0.25
GENERIC_FALL = 0.5
"""On a kind of machine that nobody recorded; the record is the least of the others there."""
ROUNDS, RECORD_ROUNDS = 7, 15
TURN_S = 0.12
"""CPU time of one turn at least; shorter calls are repeated."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PACKAGES = ("torch", "numpy", "scipy")


@dataclass(frozen=True)
class Pair:
    """What is compared.

    Attributes:
        ours: One call of the stage.
        reference: One call of the plain loop that does the same work.
    """

    ours: Callable[[], object]
    reference: Callable[[], object]


@dataclass(frozen=True)
class Reading:
    """One row, measured.

    Attributes:
        ratios: The reference's CPU time over ours, one per round.
        ours_s: Median CPU seconds of one call.
        reference_s: Of one call of the plain loop.
    """

    ratios: tuple[float, ...]
    ours_s: float
    reference_s: float

    @property
    def ratio(self) -> float:
        """Median over the rounds: both turns of a round meet the same clock rate and neighbours."""
        return statistics.median(self.ratios)


@dataclass(frozen=True)
class Limit:
    """What a row must reach.

    Attributes:
        record: Recorded ratio.
        fall: Share of it that may be lost.
    """

    record: float
    fall: float

    @property
    def least(self) -> float:
        """Below it the row has fallen."""
        return self.record * (1 - self.fall)


@dataclass(frozen=True)
class Verdict:
    """A row against its limit; `reading` is None where this machine cannot run it, `limit` where nothing is known."""

    row: str
    reading: Reading | None
    limit: Limit | None
    again: bool = False

    @property
    def has_fallen(self) -> bool:
        return self.reading is not None and self.limit is not None and self.reading.ratio < self.limit.least


Clock = Callable[[], float]
RowMaker = Callable[[Path], Pair | None]
"""Sets a row up in a scratch folder; None where this machine cannot run it."""


def cpu_seconds() -> float:
    """CPU time of this process and of its ended children: other programs add to wall time, not to this."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(pair: Pair, *, rounds: int = ROUNDS, clock: Clock = cpu_seconds) -> Reading:
    """Ours, the plain loop, ours, the plain loop; each once before, to warm up and to see how long it takes."""
    calls = (pair.ours, pair.reference)
    repeats = [max(1, math.ceil(TURN_S / max(_turn(call, 1, clock), 1e-6))) for call in calls]
    turns = [[_turn(call, times, clock) for call, times in zip(calls, repeats, strict=True)] for _ in range(rounds)]
    return Reading(
        ratios=tuple(reference / ours for ours, reference in turns),
        ours_s=statistics.median(ours for ours, _ in turns),
        reference_s=statistics.median(reference for _, reference in turns),
    )


def judge(row: str, pair: Pair | None, limit: Limit | None, *, clock: Clock = cpu_seconds) -> Verdict:
    """Measure; a row below its limit once more with twice the rounds, so that noise does not fail it."""
    if pair is None:
        return Verdict(row, None, limit)
    first = Verdict(row, measure(pair, clock=clock), limit)
    if not first.has_fallen:
        return first
    return Verdict(row, measure(pair, rounds=2 * ROUNDS, clock=clock), limit, again=True)


def limits(document: Mapping[str, Any], kind: str) -> dict[str, Limit]:
    """Row -> limit of a kind of machine; of an unknown one the least that any has, with more room."""
    machines: dict[str, Any] = document["machines"]
    if kind in machines:
        return {row: Limit(ratio, ALLOWED_FALL) for row, ratio in machines[kind]["ratios"].items()}
    known: dict[str, float] = {}
    for machine in machines.values():
        for row, ratio in machine["ratios"].items():
            known[row] = min(ratio, known.get(row, ratio))
    return {row: Limit(ratio, GENERIC_FALL) for row, ratio in known.items()}


def recorded(document: Mapping[str, Any], kind: str, readings: Mapping[str, Reading]) -> dict[str, Any]:
    """The document with these readings as the record of a kind of machine; its other rows stay."""
    machines = dict(document["machines"])
    old = machines.get(kind, {"ratios": {}})["ratios"]
    ratios = old | {row: round(reading.ratio, 3) for row, reading in readings.items()}
    machines[kind] = {"date": time.strftime("%F", time.gmtime()), "versions": _versions(), "ratios": ratios}
    return {"machines": dict(sorted(machines.items()))}


def machine_kind() -> str:
    """`amd-epyc-bfloat16`: what ratios depend on. Every row runs in one thread, so cores do not matter."""
    from autoseg.devices.cpu import BFLOAT16_FLAGS, CPU_INFO, cpu_flags

    text = CPU_INFO.read_text(encoding="utf-8") if CPU_INFO.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    model = found[1] if found else platform.processor() or platform.machine()
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)|@.*", " ", model.lower())).strip("-")
    return slug if BFLOAT16_FLAGS.isdisjoint(cpu_flags()) else f"{slug}-bfloat16"


def line(verdict: Verdict) -> str:
    """One row of the printed table."""
    reading, limit = verdict.reading, verdict.limit
    if reading is None:
        return f"{verdict.row:<24} not on this machine"
    times = f"{1e3 * reading.ours_s:9.1f} {1e3 * reading.reference_s:9.1f} {reading.ratio:7.2f}"
    if limit is None:
        return f"{verdict.row:<24} {times}       -  not recorded: run with --record"
    words = "ok"
    if verdict.has_fallen:
        words = f"FALLEN by {1 - reading.ratio / limit.record:.0%}, {limit.fall:.0%} are allowed"
    elif reading.ratio > limit.record / (1 - limit.fall):
        words = "better: run with --record to keep it"
    return f"{verdict.row:<24} {times} {limit.record:7.2f}  {words}{', measured twice' if verdict.again else ''}"


def run(makers: Mapping[str, RowMaker], document: Mapping[str, Any], kind: str) -> list[Verdict]:
    """Measure rows one after another, and print each."""
    known = limits(document, kind)
    print(f"{kind}, CPU time of one thread" + ("" if kind in document["machines"] else ", no record of its own"))
    print(f"{'row':<24} {'ours/ms':>9} {'plain/ms':>9} {'ratio':>7} {'record':>7}")
    verdicts = []
    for row, make in makers.items():
        with tempfile.TemporaryDirectory() as scratch:
            verdicts.append(judge(row, make(Path(scratch)), known.get(row)))
        print(line(verdicts[-1]), flush=True)
    return verdicts


def record(makers: Mapping[str, RowMaker], document: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Measure rows for the record, with more rounds."""
    readings: dict[str, Reading] = {}
    for row, make in makers.items():
        with tempfile.TemporaryDirectory() as scratch:
            pair = make(Path(scratch))
            if pair is not None:
                readings[row] = measure(pair, rounds=RECORD_ROUNDS)
                print(line(Verdict(row, readings[row], limits(document, kind).get(row))), flush=True)
    return recorded(document, kind, readings)


def main(arguments: list[str] | None = None) -> int:
    """Measure all rows or some; 1 when one has fallen."""
    os.environ.update(dict.fromkeys(THREADS, "1"))  # before numpy and torch are first imported
    rows = importlib.import_module("benchmarks._ratchet_rows")
    given = _parse(arguments, rows.ROWS)
    rows.one_thread()
    makers = {row: rows.ROWS[row] for row in given.only or rows.ROWS}
    document = json.loads(given.file.read_text()) if given.file.is_file() else {"machines": {}}
    kind = machine_kind()
    if given.record:
        given.file.write_text(json.dumps(record(makers, document, kind), indent=1) + "\n")
        return 0
    fallen = [verdict.row for verdict in run(makers, document, kind) if verdict.has_fallen]
    if fallen:
        print(f"slower than recorded in {given.file}, also when measured again: {', '.join(fallen)}", file=sys.stderr)
    return 1 if fallen else 0


def _turn(call: Callable[[], object], times: int, clock: Clock) -> float:
    """Seconds of one of several calls."""
    started = clock()
    for _ in range(times):
        call()
    return (clock() - started) / times


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def _parse(arguments: list[str] | None, rows: Iterable[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(rows), help="rows to measure")
    parser.add_argument("--record", action="store_true", help="keep what is measured as this kind of machine's record")
    parser.add_argument("--file", type=Path, default=RECORD, help="where the records are")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
