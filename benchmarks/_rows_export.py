"""Rows of the way from logits to labels on the image's own grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._bench import DATASET, Bench, Group, NotHereError
from benchmarks._data import ensure_prepared, required
from benchmarks._figures import Kind, alternate, inner, largest_mib, resources
from benchmarks._measure import Measurement
from benchmarks._results import Check, Row

CLASSES = (3, 41, 117)
GRID, QUICK_GRID = (150, 512, 512), (60, 128, 128)
SOURCE_SPACING_MM = 3.0
BARS = {41: {"time": 10.0, "memory": 5.0}}
LEAST_AGREEMENT = 0.999
"""Voxels with the peer's label: where two classes come out equal to float32's rounding, either may win."""


def export(bench: Bench) -> list[Row]:
    """Logits of 3, 41 and 117 classes at 3 mm to labels on a grid of 512 x 512 x 150."""
    labels = bench.data / "multiorgan_ct_3mm" / "labels.nii.gz"
    if not labels.is_file():
        raise NotHereError(f"there is no {labels}")
    ensure_prepared(bench)
    folder = bench.fresh("export")
    kinds: tuple[Kind, ...] = (("time", "s", inner), ("memory", "MiB", largest_mib))
    rows = []
    for classes in CLASSES:
        made = required(bench.ours("logits", labels=labels, classes=classes, output=folder / "logits.npy"))
        source, grid = made.values["shape"], QUICK_GRID if bench.quick else GRID
        spacing = [SOURCE_SPACING_MM * before / after for before, after in zip(source[1:], grid, strict=True)]
        request = {"logits": folder / "logits.npy", "shape": grid, "spacing_mm": spacing}
        (folder / "peer.npy").unlink(missing_ok=True)

        def run_ours(request: Mapping[str, Any] = request) -> Measurement:
            return bench.ours("export", output=folder / "ours.npy", **request)

        def run_peer(request: Mapping[str, Any] = request) -> Measurement:
            return bench.peers("export", output=folder / "peer.npy", dataset=DATASET, **request)

        ours, peer, load = alternate(bench, run_ours, run_peer, peer_rounds=1)
        size = (folder / "logits.npy").stat().st_size + math.prod(grid)
        rows += resources(
            bench,
            f"export: {classes} classes",
            ours,
            peer,
            command="labels_on_native_grid; convert_predicted_logits_to_segmentation_with_correct_shape",
            load=load,
            facts={"logits": "x".join(map(str, source)) + " float32", "grid": "x".join(map(str, grid))},
            kinds=kinds,
            bars=BARS.get(classes),
            limits={"time": bench.rates.move(size)},
            checks=agreement(folder / "ours.npy", folder / "peer.npy"),
        )
    return rows


def agreement(ours: Path, peer: Path) -> tuple[Check, ...]:
    """Share of voxels with equal labels; nothing where the peer left none."""
    if not peer.is_file():
        return ()
    equal = np.load(ours, mmap_mode="r") == np.load(peer, mmap_mode="r")
    return (Check("voxels with the peer's label", float(equal.mean()), least=LEAST_AGREEMENT),)


GROUPS = (Group.of(export),)
