"""Run by our interpreter, a process per task: a JSON argument describes it, the last line is its result."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.core.geometry import Shape3, Vector3
from autoseg.core.labels import LabelSpace

if TYPE_CHECKING:
    from autoseg.specs.case import CaseRecord

RATE_TRIES, RATE_BYTES = 6, 1 << 29


def rates(request: dict[str, Any]) -> dict[str, Any]:
    """Operations per second of matrix products, and bytes per second of a copy, on `cpu` or `cuda`."""
    import torch

    device, on_gpu = torch.device(request["device"]), request["device"] == "cuda"
    edge = 8192 if on_gpu else 3072
    found: dict[str, Any] = {"device": torch.cuda.get_device_name() if on_gpu else "cpu"}
    for precision in ("float32", "bfloat16"):
        one, other = (torch.randn(edge, edge, device=device).to(getattr(torch, precision)) for _ in range(2))
        multiply = functools.partial(torch.mm, one, other, out=torch.empty_like(one))
        found[precision] = 2 * edge**3 / _least_seconds(multiply, on_gpu)
    source = torch.ones(RATE_BYTES // 4, device=device)
    goal = torch.empty_like(source)
    found["copy"] = 2 * RATE_BYTES / _least_seconds(lambda: goal.copy_(source), on_gpu)
    return found


def _least_seconds(call: Callable[[], object], on_gpu: bool) -> float:
    import torch

    durations = []
    for _ in range(RATE_TRIES):
        started = time.perf_counter()
        call()
        if on_gpu:
            torch.cuda.synchronize()
        durations.append(time.perf_counter() - started)
    return min(durations)


def logits(request: dict[str, Any]) -> dict[str, Any]:
    """Logits (classes, Z, Y, X) of a network: smoothed one-hot volumes of a label volume, and noise.

    Few classes are the volume's merged; for many, it is cut along x and every part has classes of its own.
    """
    from scipy.ndimage import gaussian_filter

    from autoseg.io.images import read_label

    labels = np.rint(read_label(Path(request["labels"]))[0]).astype(np.int16)
    found, positions = np.unique(labels, return_inverse=True)
    classes, positions, organs = request["classes"], positions.reshape(labels.shape), len(found) - 1
    parts = -(-(classes - 1) // organs)
    part = np.arange(labels.shape[2]) * parts // labels.shape[2]
    chosen = np.where(positions > 0, (positions - 1 + part * organs) % (classes - 1) + 1, 0)
    soft = np.stack([gaussian_filter((chosen == value).astype(np.float32), 1.0) for value in range(classes)])
    generator = np.random.default_rng(0)
    soft = 10 * soft + 0.05 * generator.standard_normal(soft.shape, dtype=np.float32)
    np.save(request["output"], soft)
    return {"shape": list(soft.shape)}


def plain_record(case_id: str, shape: Shape3, source: Shape3, *, spacing_mm: Vector3, target_mm: Vector3) -> CaseRecord:
    """A case that was neither turned nor cropped.

    Args:
        case_id: Of the case.
        shape: Of the file, (z, y, x).
        source: On the plan's grid.
        spacing_mm: Of the file.
        target_mm: Of the plan's grid.
    """
    from autoseg.specs.case import CaseRecord, Grid

    identity = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    return CaseRecord(
        case_id=case_id,
        original=Grid(shape=shape, spacing_mm=spacing_mm, origin_mm=(0.0, 0.0, 0.0), direction=identity),
        orient_axes=(0, 1, 2),
        orient_flips=(False, False, False),
        transpose=(0, 1, 2),
        transposed_shape_voxels=shape,
        crop_start_voxels=(0, 0, 0),
        crop_stop_voxels=shape,
        cropped_spacing_mm=spacing_mm,
        spacing_mm=target_mm,
        shape_voxels=source,
    )


def export(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds from logits to labels on the native grid."""
    import torch

    from autoseg.inference.export import labels_on_native_grid
    from autoseg.specs.plan import Resampling

    values = torch.from_numpy(np.load(request["logits"]))
    depth, height, width = request["shape"]
    shape: Shape3 = (depth, height, width)
    first, second, third = request["spacing_mm"]
    spacing: Vector3 = (first, second, third)
    source: Shape3 = (values.shape[1], values.shape[2], values.shape[3])
    record = plain_record("ct", shape, source, spacing_mm=spacing, target_mm=(3.0, 3.0, 3.0))
    space = LabelSpace.parse({"background": 0} | {f"organ {index}": index for index in range(1, len(values))})
    started = time.perf_counter()
    labels = labels_on_native_grid(values, record, space, Resampling())
    seconds = time.perf_counter() - started
    np.save(request["output"], labels)
    return {"seconds": seconds}


def shifted_masks(request: dict[str, Any]) -> dict[str, Any]:
    """Predictions for the evaluation: every reference moved by one voxel along one axis."""
    from autoseg.io.images import read_label, write_label

    output = Path(request["output"])
    for index, path in enumerate(sorted(Path(request["references"]).iterdir())):
        mask, geometry = read_label(path)
        write_label(output / path.name, np.roll(mask, 1, axis=index % 3), geometry)
    return {}


def main() -> None:
    """Run the task of the request."""
    request = json.loads(sys.argv[1])
    tasks = {each.__name__: each for each in (rates, logits, export, shifted_masks)}
    print(json.dumps(tasks[request["task"]](request)))


if __name__ == "__main__":
    main()
