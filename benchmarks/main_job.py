"""Measure the main job against nnU-Net v2, alternately, on this machine; see README.md in this folder.

python -m benchmarks.main_job --peer PEER/bin/python --data DATA --work WORK [--only NAME ...] [--quick]
"""

from __future__ import annotations

import argparse
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks._bench import Bench
from benchmarks._data import SetUpError
from benchmarks._results import machine_name, write_results
from benchmarks._rows import GROUPS

SHARE_OF_MEMORY = 0.85
ROWS = {group.name: group.make for group in GROUPS}


def main() -> int:
    """Measure the chosen rows; each is written as soon as it is there."""
    options = _parse()
    # As an exception, so that the process being measured ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = (options.work / ("quick" if options.quick else "full")).absolute()
    memory = psutil.virtual_memory().total
    bench = Bench(
        peer=options.peer.absolute(),
        data=options.data.absolute(),
        work=work,
        quick=options.quick,
        model=None if options.model is None else options.model.absolute(),
        limit_bytes=int((options.memory_limit_gib * 2**30) if options.memory_limit_gib else SHARE_OF_MEMORY * memory),
        rounds=1 if options.quick else options.rounds,
    )
    head = machine_facts()
    name = machine_name(head["cores"], head["cpu_model"])
    folder = work / "results" if options.quick else options.results
    failed = False
    for row_name in options.only or ROWS:
        started = time.perf_counter()
        try:
            rows = ROWS[row_name](bench)
        except SetUpError as error:
            print(f"{row_name}: not measured, {error}", file=sys.stderr)
            failed = True
            continue
        table = write_results(folder, name, rows, head=head)
        for row in rows:
            print(
                f"{row.name}: ours {_show(row.ours.median)}, peer {_show(row.peer.median)} {row.unit}, "
                f"ratio {_show(row.ratio)} {row.ours.failure or ''} {row.peer.failure or ''}",
                flush=True,
            )
        print(f"{row_name} took {time.perf_counter() - started:.0f} s -> {table}", flush=True)
    return 1 if failed else 0


def machine_facts() -> dict[str, Any]:
    """What the figures depend on and a reader may want to know."""
    return {
        "cpu_model": _cpu_model(),
        "cores": psutil.cpu_count() or 1,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, type=Path, help="interpreter of an environment with nnunetv2")
    parser.add_argument("--data", required=True, type=Path, help="folder of Task04_Hippocampus and multiorgan_ct_3mm")
    parser.add_argument("--work", required=True, type=Path, help="scratch folder; prepared data in it is used again")
    parser.add_argument("--only", nargs="+", choices=tuple(ROWS), help="rows to measure; the others are kept")
    parser.add_argument("--model", type=Path, help="trained model folder for another predict row")
    parser.add_argument("--rounds", type=int, default=2, help="repetitions per side, alternating")
    parser.add_argument("--memory-limit-gib", type=float, help="stop what holds more [0.85 of the machine]")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--quick", action="store_true", help="few cases and steps; results stay in the work folder")
    return parser.parse_args()


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
