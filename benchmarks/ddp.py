"""Two processes against one on the same batches: how far their losses differ, and how fast they are.

python -m benchmarks.ddp --work WORK [--updates 50] [--processes 2] [--results FOLDER]

One fold of phantoms is trained in float32 with every optimiser: by one process with one thread, by one process with as
many threads as there are processes, and by that many processes with one thread each (gloo). The differences of the
second from the first say what another order of sums does by itself: AdamW and Muon enlarge rounding. The first updates
are therefore repeated in float64, by one process and by several, where only an error of arithmetic would be left.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks._commands import run_apart
from benchmarks._machine import machine_facts
from benchmarks._results import load_per_core, machine_name

DATASET = "Dataset001_PhantomLiver"
METHOD = "autoseg"
SIZE, CASES = "32x48x48", 6
SECONDS_PER_STEP = 0.1
"""Of the plan: small enough for many updates, large enough for processes to be worth it."""
OPTIMIZERS = {"sgd": (0.01, 0), "adamw": (0.002, 0), "muon": (0.02, 0), "muon, warming up": (0.02, 50)}
"""Name -> learning rate as the methods use it, and over how many updates it rises; method `autoseg` takes 5 % of a run,
which are 50 of 1000."""
EARLY = 10
"""Updates of the first bar."""
BARS = {"early": 1e-5, "all": 1e-3}
"""Largest difference of any loss within the first updates, and within all; in float32, or, where threads alone miss
them, too, that of the first in float64."""
WARM_UP = 3
SIDES = ("one", "threads", "several")


def main() -> int:
    """Prepare, train, compare, write."""
    options = _parse()
    work = options.work.absolute()
    prepare(work)
    runs = {
        "one": _train(work, options.updates, processes=1, threads=1),
        "threads": _train(work, options.updates, processes=1, threads=options.processes),
        "several": _train(work, options.updates, processes=options.processes, threads=1),
        "one exact": _train(work, EARLY, processes=1, threads=1, double=True),
        "several exact": _train(work, EARLY, processes=options.processes, threads=1, double=True),
    }
    rows = [row_of(name, {side: found[name] for side, found in runs.items()}) for name in OPTIMIZERS]
    head = machine_facts()
    document = {
        "machine": head,
        "load": load_per_core(),
        "processes": options.processes,
        "updates": options.updates,
        "data": {"size": SIZE, "cases": CASES, "seconds_per_step": SECONDS_PER_STEP},
        "rows": rows,
    }
    path = options.results / f"ddp_{machine_name(head['cores'], head['cpu_model'])}.json"
    options.results.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(document))
    print(path.with_suffix(".md").read_text())
    return 0 if all(row["kept"] for row in rows) else 1


def prepare(work: Path) -> None:
    """Phantoms, plan and stored cases, unless they are there."""
    if (work / "prepared" / DATASET / METHOD / "splits.json").is_file():
        return
    budget = ("--set", f"plan.seconds_per_step={SECONDS_PER_STEP}")
    run_apart(work, "convert", "phantom", "--cases", CASES, "--test-cases", 0, "--size", SIZE)
    run_apart(work, "fingerprint", DATASET)
    run_apart(work, "plan", DATASET, "--device", "cpu", *budget)
    run_apart(work, "preprocess", DATASET, "-c", "3d_fullres")


def row_of(optimizer: str, runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Differences and medians of one optimiser.

    Args:
        optimizer: Name.
        runs: `one` process, one with more `threads`, `several` processes -> losses and seconds of every update; `exact`
            is float64.
    """
    one, exact = runs["one"]["losses"], runs["one exact"]["losses"]
    differences = {
        name: {
            "early": largest_difference(one[:EARLY], runs[name]["losses"]),
            "all": largest_difference(one, runs[name]["losses"]),
        }
        for name in SIDES[1:]
    }
    differences["exact"] = {"early": largest_difference(exact, runs["several exact"]["losses"])}
    in_float32 = _within(differences["several"])
    rounding = not _within(differences["threads"]) and differences["exact"]["early"] <= BARS["early"]
    return {
        "optimizer": optimizer,
        "batch": runs["one"]["batch"],
        "losses": {"first": one[0], "last": one[-1]},
        "differences": differences,
        "seconds": {name: statistics.median(runs[name]["seconds"][WARM_UP:]) for name in SIDES},
        "cpu_seconds": {name: runs[name]["cpu_seconds"] for name in SIDES},
        "kept": "in float32" if in_float32 else "in float64" if rounding else "",
    }


def _within(differences: dict[str, float]) -> bool:
    return all(differences[name] <= bar for name, bar in BARS.items())


def largest_difference(one: list[float], other: list[float]) -> float:
    """Over the updates of the first list."""
    return max(abs(a - b) for a, b in zip(one, other, strict=False))


def markdown(document: dict[str, Any]) -> str:
    """The table."""
    head, processes, updates = document["machine"], document["processes"], document["updates"]
    lines = [
        f"# {processes} processes against one, {updates} updates, float32",
        "",
        f"{head['cpu_model']}, {head['cores']} cores; {document['load']:g} running processes per core at the end.",
        f"Largest difference of a loss from that of one process with one thread (bars: {BARS['early']:g} within "
        f"{EARLY} updates, {BARS['all']:g} within all), median seconds of an update, and the processor seconds",
        "that each process spends on one, which are what it takes where every process has a core of its own. Where the "
        "bars",
        "hold in float64 alone, threads of one process miss them in float32, too: the optimiser enlarges rounding.",
        "",
        f"| optimiser | batch | loss, first to last | {processes} processes: {EARLY} updates | all "
        f"| {processes} threads: {EARLY} updates | all | float64, {EARLY} updates | bars hold "
        f"| s, one | s, {processes} threads | s, {processes} processes "
        f"| CPU s, one | CPU s, {processes} threads | CPU s, {processes} processes |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in document["rows"]:
        several, threads = row["differences"]["several"], row["differences"]["threads"]
        cells = [row["optimizer"], row["batch"], f"{row['losses']['first']:.3f} to {row['losses']['last']:.3f}"]
        cells += [f"{found[name]:.1e}" for found in (several, threads) for name in ("early", "all")]
        cells += [f"{row['differences']['exact']['early']:.1e}", row["kept"] or "no"]
        cells += [f"{row[kind][name]:.3f}" for kind in ("seconds", "cpu_seconds") for name in SIDES]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _train(work: Path, updates: int, *, processes: int, threads: int, double: bool = False) -> dict[str, Any]:
    output = work / f"{processes}_processes_{threads}_threads{'_float64' if double else ''}.json"
    settings = {
        name: {
            "overrides": [f"train.optimizer.name={name.partition(',')[0]}", f"train.optimizer.learning_rate={rate}"],
            "rising": rising,
        }
        for name, (rate, rising) in OPTIMIZERS.items()
    }
    request = {
        "workspace": str(work),
        "dataset": DATASET,
        "method": METHOD,
        "trainings": settings,
        "updates": updates,
        "warm_up": WARM_UP,
        "threads": threads,
        "double": double,
        "output": str(output),
    }
    several = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m")
    module = (*(several if processes > 1 else ()), "benchmarks._ddp_rank", json.dumps(request))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, "-m", *module], check=True, env=environment)
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, type=Path, help="scratch folder; prepared data there are used again")
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
