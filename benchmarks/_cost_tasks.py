"""Measurements for the cost model, a process per stage: processor seconds and peak memory of single cases.

A JSON argument describes the work; the last line is the result, a list of points: what was varied, seconds, bytes.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from autoseg.core.workspace import Workspace
from autoseg.devices.memory import forget_peak_memory, peak_memory_bytes
from autoseg.io.images import read_header, read_label, write_label
from autoseg.io.raw import RawDataset

CPU: Any = SimpleNamespace(type="cpu")
"""Stands for torch's device, so that stages without torch are measured without it."""
METHOD = "nnunet"
CONFIGURATION = "3d_fullres"
Point = dict[str, Any]


def fingerprint(request: dict[str, Any]) -> Iterator[Point]:
    """Seconds per case by native voxels."""
    from autoseg.stages import fingerprint as stage

    for dataset, workspace in _datasets(request):
        options = stage.Options(dataset, workers=1, clean=True)
        point = _measured(lambda options=options, workspace=workspace: stage.run(options, workspace))
        yield _per_case(point, workspace, dataset)


def preprocess(request: dict[str, Any]) -> Iterator[Point]:
    """Seconds and stored bytes per case by native voxels and voxels of the plan's grid."""
    from autoseg.io.case_store import stored_record
    from autoseg.stages import fingerprint
    from autoseg.stages import plan as planning
    from autoseg.stages import preprocess as stage

    for dataset, workspace in _datasets(request):
        found = fingerprint.run(fingerprint.Options(dataset, workers=1), workspace)
        native = np.median([case.spacing_mm for case in found.cases], axis=0)
        for coarser in request["coarser"]:
            spacing = [round(float(step), 3) for step in native * coarser]
            override = f"plan.overrides.{CONFIGURATION}.spacing_mm={spacing}"
            settings = {"method": METHOD, "overrides": (override,), "device": "cpu", "replan": True}
            planning.run(planning.Options(dataset, **settings), workspace)
            _forget_cases(workspace, dataset)
            options = stage.Options(dataset, METHOD, (CONFIGURATION,), workers=1)
            point = _measured(lambda options=options, workspace=workspace: stage.run(options, workspace), once=True)
            folder = next(workspace.prepared(dataset).glob("cases_*"))
            records = [record for path in folder.iterdir() if (record := stored_record(folder, path.name))]
            stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            point = _per_case(point, workspace, dataset)
            target = sum(math.prod(record.shape_voxels) for record in records) / len(records)
            yield {**point, "target_voxels": target, "stored_bytes": stored / len(records)}


def evaluate(request: dict[str, Any]) -> Iterator[Point]:
    """Seconds per case by voxels and classes: the reference cut into slabs of its foreground, against itself moved."""
    from autoseg.stages import evaluate as stage

    for dataset, workspace in _datasets(request):
        raw = RawDataset.open(workspace.raw_dataset(dataset))
        for classes in request["classes"]:
            folders = [workspace.root / "masks" / f"{dataset}_{classes}" / name for name in ("found", "true")]
            for case in raw.training:
                labels, grid = read_label(case.label)
                parts = in_slabs(labels, classes)
                write_label(folders[0] / f"{case.case_id}.nii.gz", np.roll(parts, 1, axis=2), grid)
                write_label(folders[1] / f"{case.case_id}.nii.gz", parts, grid)
            options = stage.Options(*folders, workers=1)
            point = _measured(lambda options=options, workspace=workspace: stage.run(options, workspace))
            yield {**_per_case(point, workspace, dataset), "classes": classes}


def train(request: dict[str, Any]) -> Iterator[Point]:
    """Seconds per update by operations and voxels, and those of reading its batch alone."""
    from benchmarks._cost_networks import training_point

    workspace = Workspace(Path(request["workspace"]))
    for shape in request["updates"]:
        yield training_point(workspace, request["dataset"], shape, count=request["count"], measured=_measured)


def predict(request: dict[str, Any]) -> Iterator[Point]:
    """Seconds per case by operations, voxels and classes; the weights are random."""
    from benchmarks._cost_networks import prediction_point

    workspace = Workspace(Path(request["workspace"]))
    for shape in request["predictions"]:
        yield prediction_point(workspace, shape, measured=_measured)


TASKS = {task.__name__: task for task in (fingerprint, preprocess, evaluate, train, predict)}


def _measured(call: Callable[[], Any], *, once: bool = False) -> Point:
    """Least processor seconds of two calls, or of one that could not be repeated, and peak memory.

    The least, because whatever else the machine does can only add to them.
    """
    forget_peak_memory(CPU)
    seconds = []
    for _ in range(1 if once else 2):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return {"seconds": min(seconds), "peak_bytes": peak_memory_bytes(CPU)}


def _datasets(request: dict[str, Any]) -> Iterator[tuple[str, Workspace]]:
    """The smallest is done twice: the first time also loads libraries."""
    workspace, names = Workspace(Path(request["workspace"])), request["datasets"]
    yield from ((name, workspace) for name in (names[0], *names))


def _per_case(point: Point, workspace: Workspace, dataset: str) -> Point:
    """The same for one case of the data set, with its mean number of voxels."""
    raw = RawDataset.open(workspace.raw_dataset(dataset))
    voxels = [math.prod(read_header(case.images[0]).shape) for case in raw.training]
    return {
        **point,
        "dataset": dataset,
        "voxels": sum(voxels) / len(voxels),
        "largest_voxels": max(voxels),
        "seconds": point["seconds"] / len(voxels),
    }


def in_slabs(labels: Any, classes: int) -> Any:
    """The foreground cut along its first axis into as many parts, 1, 2, ..."""
    inside = labels > 0
    depth = np.flatnonzero(inside.any(axis=(1, 2)))
    start, extent = depth[0], depth[-1] + 1 - depth[0]
    part = 1 + (np.arange(labels.shape[0]) - start) * classes // extent
    return np.where(inside, part[:, None, None], 0).astype(np.uint8)


def _forget_cases(workspace: Workspace, dataset: str) -> None:
    for folder in workspace.prepared(dataset).glob("cases_*"):
        shutil.rmtree(folder)


if __name__ == "__main__":
    REQUEST = json.loads(sys.argv[1])
    POINTS = list(TASKS[REQUEST["task"]](REQUEST))
    # The first is a warm-up.
    print(json.dumps({"points": POINTS[REQUEST["warm_up"] :]}))
