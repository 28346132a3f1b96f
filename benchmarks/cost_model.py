"""Time and memory of every stage as functions of size, fitted on phantoms, judged on others, and extrapolated.

python -m benchmarks.cost_model --work WORK [--results FOLDER] [--only STAGE ...] [--tiny]

Every stage is measured in a process of its own with one thread. Figures are processor seconds, which other programs
disturb least, and peak resident memory. Results of stages that are in the JSON file already are kept with `--only`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks._commands import run_apart
from benchmarks._cost_fit import LAWS, Fitted, fit
from benchmarks._cost_report import draw, markdown
from benchmarks._cost_scale import Cluster, Project, extrapolate
from benchmarks._cost_shapes import (
    CASES,
    CLASSES,
    COARSER,
    HELD_OUT_SIZES,
    PREDICTIONS,
    SIZES,
    TRAININGS,
    UPDATES,
    dataset_name,
)
from benchmarks._machine import machine_facts
from benchmarks._results import load_per_core, machine_name

STAGES = ("fingerprint", "preprocess", "train", "predict", "evaluate", "workers")
SHARED, LARGE = 3, 6
"""Numbers of the phantoms that are trained on, and that are preprocessed by one and by two processes."""


def main() -> int:
    """Make phantoms, measure, fit, extrapolate, write."""
    options = _parse()
    work, head = options.work.absolute(), machine_facts()
    results = work / "results" if options.tiny else options.results
    path = results / f"cost_model_{machine_name(head['cores'], head['cpu_model'])}.json"
    known = json.loads(path.read_text())["stages"] if path.is_file() else {}
    sizes = ("16x24x24", "16x32x32", "24x32x32", "24x40x40", "24x36x36", "32x48x48") if options.tiny else ()
    make_phantoms(work, sizes or (*SIZES, *HELD_OUT_SIZES))
    for stage in options.only or STAGES:
        started, load = time.perf_counter(), load_per_core()
        points = measure_workers(work) if stage == "workers" else measure(work, stage, tiny=options.tiny)
        known[stage] = {"load": load, "wall_seconds": round(time.perf_counter() - started), "points": points}
        write(path, {"machine": head, "stages": known, **conclusions(known)})
        print(f"{stage}: {json.dumps(known[stage])}", flush=True)
    print(path.with_suffix(".md").read_text())
    return 0


def write(path: Path, document: dict[str, Any]) -> None:
    """JSON, page and figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(document))
    draw(document, path.with_suffix(".svg"))


def make_phantoms(work: Path, sizes: Sequence[str]) -> None:
    """One data set per size, unless it is there."""
    for number, size in enumerate(sizes, start=1):
        if not (work / "raw" / dataset_name(number) / "dataset.json").is_file():
            made = ("--id", number, "--cases", CASES, "--test-cases", 0, "--size", size, "--seed", number)
            run_apart(work, "convert", "phantom", *made)


def measure(work: Path, stage: str, *, tiny: bool) -> list[dict[str, Any]]:
    """Points of a stage, those that only judge marked as held out."""
    count = len(SIZES) + len(HELD_OUT_SIZES)
    names = [dataset_name(number) for number in range(1, count + 1)]
    request = {
        "task": stage,
        "workspace": str(work),
        "datasets": sorted(names, key=lambda name: _voxels(work, name)),
        "dataset": dataset_name(SHARED),
        "coarser": COARSER,
        "classes": CLASSES,
        "count": UPDATES,
        "updates": TRAININGS[:1] * 2 if tiny else (TRAININGS[0], *TRAININGS),
        "predictions": PREDICTIONS[:1] * 2 if tiny else (PREDICTIONS[0], *PREDICTIONS),
        "warm_up": {"preprocess": len(COARSER), "evaluate": len(CLASSES)}.get(stage, 1),
    }
    command = [sys.executable, "-m", "benchmarks._cost_tasks", json.dumps(request)]
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")}
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    points: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["points"]
    judges = set(names[len(SIZES) :])
    return [{"held_out": point.get("dataset") in judges, **point} for point in points]


def measure_workers(work: Path) -> list[dict[str, Any]]:
    """Wall seconds of preprocessing copies of one phantom by one process and by two."""
    name, copies = "Dataset099_Copies", 48
    raw = work / "raw" / name
    source = work / "raw" / dataset_name(LARGE)
    if not raw.is_dir():
        for kind in ("imagesTr", "labelsTr"):
            (raw / kind).mkdir(parents=True)
            first = sorted((source / kind).iterdir())[0]
            ending = "_0000.nii.gz" if kind == "imagesTr" else ".nii.gz"
            for copy in range(copies):
                (raw / kind / f"copy_{copy:02d}{ending}").write_bytes(first.read_bytes())
        description = json.loads((source / "dataset.json").read_text())
        kept = {key: description[key] for key in ("channel_names", "labels", "file_ending")}
        (raw / "dataset.json").write_text(json.dumps({**kept, "numTraining": copies}))
    run_apart(work, "fingerprint", name)
    run_apart(work, "plan", name, "--device", "cpu")
    points = []
    for workers in (1, 2, 1, 2):
        for path in (work / "prepared" / name).glob("cases_*"):
            shutil.rmtree(path)
        started = time.perf_counter()
        run_apart(work, "preprocess", name, "-c", "3d_fullres", "--workers", workers)
        points.append({"workers": workers, "cases": copies, "seconds": time.perf_counter() - started})
    return points


def conclusions(known: dict[str, Any]) -> dict[str, Any]:
    """Fitted laws, how far they are off on what they were not fitted on, and the extrapolation."""
    laws = {}
    points = {stage: found["points"] for stage, found in known.items()}
    for law in LAWS:
        if points.get(law.stage):
            laws[law.stage, law.measured] = fit(law, [point for point in points[law.stage] if not point["held_out"]])
    found: dict[str, Any] = {"laws": [_described(law, points) for law in laws.values()]}
    if len(laws) == len(LAWS):
        project, cluster = Project(), Cluster()
        lines = [asdict(line) for line in extrapolate(laws, project, cluster)]
        found |= {"project": asdict(project), "cluster": asdict(cluster), "extrapolation": lines}
    return found


def _described(fitted: Fitted, points: dict[str, Any]) -> dict[str, Any]:
    law = fitted.law
    errors = {True: [], False: []}  # type: dict[bool, list[float]]
    for point in points[law.stage]:
        errors[point["held_out"]].append(fitted.error(point))
    return {
        "stage": law.stage,
        "measured": law.measured,
        "per": law.per,
        "terms": {term.name: price for term, price in zip(law.terms, fitted.coefficients, strict=True)},
        "errors": errors[False],
        "held_out_errors": errors[True],
        "measured_values": [point[law.measured] for point in points[law.stage]],
        "predicted_values": [fitted(point) for point in points[law.stage]],
        "held_out": [point["held_out"] for point in points[law.stage]],
    }


def _voxels(work: Path, name: str) -> int:
    """Bytes of its images stand for their voxels."""
    return sum(path.stat().st_size for path in (work / "raw" / name / "imagesTr").iterdir())


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, type=Path, help="scratch folder; phantoms there are used again")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=(), help="measure these again, keep the others")
    parser.add_argument("--tiny", action="store_true", help="tiny phantoms, to see that it runs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
