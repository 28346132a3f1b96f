"""Rows of the scores: surface distances against surface-distance 0.1, and the evaluation of a folder of masks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._bench import Bench, Group
from benchmarks._data import CT, ensure_raw, linked, required
from benchmarks._environment import SCORER
from benchmarks._figures import Kind, alternate, cpu, inner, largest_mib, resources
from benchmarks._measure import Measurement
from benchmarks._results import Check, Row

PERTURBATIONS, QUICK_PERTURBATIONS = 20, 2
TOLERANCE_MM = 2.0
LARGEST_DIFFERENCE = 1e-3
"""In mm of HD95, and of the normalised surface Dice as a share."""
DISTANCES_BAR = 4.0


def distances(bench: Bench) -> list[Row]:
    """HD95 and NSD of 20 seeded perturbations of the liver mask of the 512 x 512 x 119 CT."""
    reference = sorted((ensure_raw(bench, CT) / "labelsTr").iterdir())[0]
    folder = bench.fresh("perturbed")
    count = QUICK_PERTURBATIONS if bench.quick else PERTURBATIONS
    required(bench.ours("perturbed", script="_ours_distances.py", reference=reference, count=count, output=folder))
    request = {"task": "distances", "folder": folder, "count": count, "tolerance_mm": TOLERANCE_MM}
    python = Path(sys.executable)
    ours, peer, load = alternate(
        bench,
        lambda: bench.script("ours", python, "_ours_distances.py", request),
        lambda: bench.script("peer", bench.scorer or bench.peer, "_peer_distances.py", request),
    )
    kinds: tuple[Kind, ...] = (("time", "s", inner), ("CPU", "s", cpu), ("memory", "MiB", largest_mib))
    return resources(
        bench,
        f"distances: HD95 and NSD of {count} masks",
        ours,
        peer,
        command=f"surface_distances of autoseg.metrics.surface; compute_surface_distances of {SCORER}",
        load=load,
        facts={"tolerance_mm": TOLERANCE_MM, "peer": SCORER},
        kinds=kinds,
        bars={"time": DISTANCES_BAR},
        checks=differences(ours, peer),
    )


def differences(ours: list[Measurement], peer: list[Measurement]) -> tuple[Check, ...]:
    """Largest difference of every score between the two sides; nothing where one failed."""
    if not ours or not peer or ours[0].failure or peer[0].failure:
        return ()
    found: list[Check] = []
    for name, unit in (("hd95_mm", "mm"), ("nsd", "1")):
        one, other = (np.asarray(runs[0].values[name], dtype=float) for runs in (ours, peer))
        largest = float(np.abs(one - other).max())
        told = f"largest difference of {name} ({unit}), values {other.min():.4g} to {other.max():.4g}:"
        found.append(Check(told, largest, most=LARGEST_DIFFERENCE))
    return tuple(found)


def evaluate(bench: Bench) -> list[Row]:
    """Scores of the held-out hippocampus cases, every mask moved by one voxel."""
    references, masks = linked(bench, "labelsTr"), bench.fresh("masks")
    required(bench.ours("shifted_masks", references=references, output=masks))
    report = bench.fresh("reports")
    rows = []
    for name, flags in (("with surface distances, which the peer lacks", ()), ("overlap only", ("--no-surface",))):

        def run_ours(flags: tuple[str, ...] = flags) -> Measurement:
            given: tuple[Any, ...] = ("-i", masks, "-r", references, "-o", report / "o.json", "-d", "4")
            return bench.autoseg("evaluate", *given, "--protocol", "autoseg", *flags)

        def run_peer() -> Measurement:
            labels = ("-l", "1", "2", "-np", str(bench.cores))
            return bench.nnunet("evaluate_simple", references, masks, *labels, "-o", report / "p.json")

        ours, peer, load = alternate(bench, run_ours, run_peer)
        command = " ".join(("autoseg evaluate -i MASKS -r REFERENCES -d 4 --protocol autoseg", *flags))
        command += "; nnUNetv2_evaluate_simple REFERENCES MASKS -l 1 2 -np CORES"
        facts = {"cases": len(list(masks.iterdir()))}
        rows += resources(bench, f"evaluate: {name}", ours, peer, command=command, load=load, facts=facts)
    return rows


GROUPS = (Group.of(distances), Group.of(evaluate))
