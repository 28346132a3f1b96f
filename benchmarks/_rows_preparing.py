"""Rows from start-up to preprocessed cases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._bench import Bench, Group
from benchmarks._data import (
    BRAIN,
    CT,
    HIPPOCAMPUS,
    Source,
    ensure_raw,
    our_lines,
    peer_lines,
    prepare_ours,
    prepare_peer,
)
from benchmarks._figures import WHOLE_TREE, alternate, resources, side, summed, wall
from benchmarks._results import Row

HELP_ROUNDS, PREPARE_ROUNDS = 5, 3
COMMANDS = {
    "help": ("--help",),
    "help: plan": ("plan", "--help"),
    "help: train": ("train", "--help"),
    "help: predict": ("predict", "--help"),
    "help: evaluate": ("evaluate", "--help"),
}
"""Row -> arguments of ours."""
PEER_COMMANDS = {
    "help": "plan_and_preprocess",
    "help: plan": "plan_experiment",
    "help: train": "train",
    "help: predict": "predict",
    "help: evaluate": "evaluate_simple",
}
"""Row -> the peer's verb."""
START_UP_BAR = 10.0


def help_(bench: Bench) -> list[Row]:
    """Start-up: `--help` of several commands."""
    bench, rows = bench.repeated(HELP_ROUNDS), []
    for name, arguments in COMMANDS.items():
        verb = PEER_COMMANDS[name]
        ours, peer, load = alternate(bench, partial(bench.autoseg, *arguments), partial(bench.nnunet, verb, "--help"))
        command = f"autoseg {' '.join(arguments)}; nnUNetv2_{verb} --help"
        both = side(ours, wall), side(peer, wall)
        rows.append(bench.row(name, "s", ours=both[0], peer=both[1], command=command, load=load, bar=START_UP_BAR))
    return rows


def prepare(bench: Bench) -> list[Row]:
    """Fingerprint, plan and preprocess of the hippocampus, 2D and 3D."""
    return _prepare(bench.repeated(PREPARE_ROUNDS), HIPPOCAMPUS, "prepare", bars={}, peer_rounds=1)


def prepare_ct(bench: Bench) -> list[Row]:
    """The same of three CT scans of 512 x 512 x 119, at 1 mm along every axis, so that every axis is resampled."""
    name = "prepare: 3 CT scans at 1 mm"
    return _prepare(bench, CT, name, bars={"wall": 5.0, "memory of all processes": 2.0})


def prepare_brain(bench: Bench) -> list[Row]:
    """The same of four BraTS cases with two sequences."""
    return _prepare(bench, BRAIN, "prepare: 4 BraTS cases", bars={"wall": 4.0})


def _prepare(
    bench: Bench, source: Source, name: str, *, bars: Mapping[str, float], peer_rounds: int | None = None
) -> list[Row]:
    folder = ensure_raw(bench, source)
    ours, peer, load = alternate(
        bench,
        lambda: summed(prepare_ours(bench, source, by_shares=True)),
        lambda: summed(prepare_peer(bench, source, by_shares=True)),
        peer_rounds=peer_rounds,
    )
    command = ", ".join(f"autoseg {' '.join(line)}" for line in our_lines(bench, source))
    command += "; " + ", ".join(f"nnUNetv2_{' '.join(line)}" for line in peer_lines(bench, source))
    limit = bench.rates.move(voxel_bytes(folder) + stored_bytes(bench, source))
    return resources(
        bench, name, ours, peer, command=command, load=load, kinds=WHOLE_TREE, bars=bars, limits={"wall": limit}
    )


def voxel_bytes(folder: Path) -> int:
    """Bytes of all images and labels of a raw data set as arrays, which must be read once."""
    import nibabel

    total = 0
    for path in folder.rglob("*.nii.gz"):
        voxels: Any = nibabel.load(path).dataobj
        total += math.prod(voxels.shape) * voxels.dtype.itemsize
    return total


def stored_bytes(bench: Bench, source: Source) -> int:
    """Bytes that our preprocessing wrote, compressed."""
    folders = (bench.workspace / "prepared" / source.dataset).glob("cases_*")
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


GROUPS = tuple(Group.of(make) for make in (help_, prepare, prepare_ct, prepare_brain))
