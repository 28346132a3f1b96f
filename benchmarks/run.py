"""Measure autoseg against nnU-Net v2 on this machine, alternately; see README.md in this folder.

python -m benchmarks.run [--peer PYTHON] [--data DATA] [--work WORK] [--only ROWS ...] [--list] [--quick]

Without `--peer` an environment with nnunetv2 is made under WORK. A run that was stopped goes on where it was: rows
that the result file holds under the same `--run` are not measured again, unless `--again` says so.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks._bench import Bench, Group, NotHereError
from benchmarks._data import SetUpError
from benchmarks._environment import peer_environment, scorer_environment
from benchmarks._machine import machine_facts
from benchmarks._results import Results, Row, machine_name

DAY = ("preparing", "training", "prediction", "products", "export", "scoring", "gpu")
"""Order of the files of rows, `_rows_<word>.py`; others follow."""
SHARE_OF_MEMORY = 0.85
CACHE = Path.home() / ".cache" / "autoseg-benchmarks"


def find_groups(folder: Path = Path(__file__).parent) -> dict[str, Group]:
    """All that can be measured: the `GROUPS` of every file of rows, in the order of a user's day."""

    def place(path: Path) -> tuple[int, str]:
        word = path.stem.removeprefix("_rows_")
        return (DAY.index(word) if word in DAY else len(DAY), word)

    modules = [
        importlib.import_module(f"benchmarks.{path.stem}") for path in sorted(folder.glob("_rows_*.py"), key=place)
    ]
    return {group.name: group for module in modules for group in module.GROUPS}


def main(arguments: Sequence[str]) -> int:
    """Measure the chosen rows; each group is written as soon as it is there.

    Returns:
        0, or 1 when something could not be measured that should have been.
    """
    groups = find_groups()
    options = _parse(arguments, tuple(groups))
    if options.list:
        for group in groups.values():
            print(f"{group.name:16} {group.what}")
        return 0
    # As an exception, so that the process being measured ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = _bench(options)
    head = machine_facts() | {"rates": bench.rates.describe()}
    folder = bench.work / "results" if options.quick else options.results
    results = Results(folder / f"{machine_name(head['cores'], head['cpu_model'])}.json", head, options.run)
    chosen = [groups[name] for name in options.only or groups]
    return measure_groups(bench, chosen, results, again=options.again)


def measure_groups(bench: Bench, groups: Iterable[Group], results: Results, *, again: bool) -> int:
    """Measure and write one group after another.

    Args:
        bench: This call.
        groups: To measure.
        results: The file that they go to.
        again: Also those which it already holds from this run.

    Returns:
        The exit code.
    """
    failed = False
    for group in groups:
        if results.holds(group.name) and not again:
            print(f"{group.name}: measured before in run {results.run}", flush=True)
            continue
        started = time.perf_counter()
        try:
            rows = group.make(bench)
        except NotHereError as error:
            results.skip(group.name, str(error))
            print(f"{group.name}: left out, {error}", flush=True)
            continue
        except SetUpError as error:
            print(f"{group.name}: not measured, {error}", file=sys.stderr)
            failed = True
            continue
        results.add(group.name, rows)
        for row in rows:
            print(_line(row), flush=True)
        print(f"{group.name} took {time.perf_counter() - started:.0f} s -> {results.table}", flush=True)
    return 1 if failed else 0


def _bench(options: argparse.Namespace) -> Bench:
    root = options.work.absolute()
    torch = importlib.metadata.version("torch")
    memory = psutil.virtual_memory().total
    limit = options.memory_limit_gib * 2**30 if options.memory_limit_gib else SHARE_OF_MEMORY * memory
    return Bench(
        peer=options.peer.absolute() if options.peer else peer_environment(root / "peer_environment", torch),
        scorer=(options.scorer or scorer_environment(root / "scorer_environment")).absolute(),
        data=options.data.absolute(),
        work=root / ("quick" if options.quick else "full"),
        quick=options.quick,
        model=None if options.model is None else options.model.absolute(),
        limit_bytes=int(limit),
        rounds=1 if options.quick else options.rounds,
    )


def _line(row: Row) -> str:
    told: list[Any] = [
        f"{row.name}: ours {_show(row.ours.median)}, peer {_show(row.peer.median)} {row.unit},",
        f"ratio {_show(row.ratio)}",
        *(f"(bar {row.bar:g})" for _ in range(row.bar is not None)),
        row.ours.failure or "",
        row.peer.failure or "",
        *(f"{check.name} {check.value:.6g}{'' if check.kept else ' MISSED'}" for check in row.checks),
    ]
    return " ".join(part for part in told if part)


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _parse(arguments: Sequence[str], names: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="name all rows and end")
    parser.add_argument("--peer", type=Path, help="interpreter of an environment with nnunetv2 [one is made]")
    parser.add_argument("--scorer", type=Path, help="interpreter with surface-distance 0.1 [an environment is made]")
    data = os.environ.get("AUTOSEG_TEST_DATA")
    parser.add_argument("--data", type=Path, default=data, help="folder of the real cases [AUTOSEG_TEST_DATA]")
    parser.add_argument("--work", type=Path, default=CACHE, help=f"scratch, used again by later runs [{CACHE}]")
    parser.add_argument("--only", nargs="+", choices=names, metavar="ROWS", help="these; others are kept")
    parser.add_argument("--run", default=time.strftime("%F", time.gmtime()), help="name of this run [today's date]")
    parser.add_argument("--again", action="store_true", help="measure what this run already has once more")
    parser.add_argument("--model", type=Path, help="trained model folder for another predict row")
    parser.add_argument("--rounds", type=int, default=2, help="repetitions per side, alternating [2]")
    parser.add_argument("--memory-limit-gib", type=float, help="stop what holds more [0.85 of the machine]")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--quick", action="store_true", help="few cases and steps; results stay in the work folder")
    options = parser.parse_args(arguments)
    if options.data is None and not options.list:
        parser.error("give --data, the folder of the real cases, or set AUTOSEG_TEST_DATA")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
