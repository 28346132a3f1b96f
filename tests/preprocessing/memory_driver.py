"""Preprocesses data sets in a process of their own and prints, for each, what was estimated and what was held."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from autoseg.core.geometry import Geometry
from autoseg.core.sizes import parse_size
from autoseg.core.workspace import Workspace
from autoseg.devices import limit
from autoseg.devices.memory import forget_peak_memory, peak_memory_bytes
from autoseg.io.images import write_image, write_label
from autoseg.specs.plan import Plan
from autoseg.stages import preprocess

NAME = "Dataset003_Large"
CPU: Any = SimpleNamespace(type="cpu")
STATISTICS = dict.fromkeys(("mean", "median", "minimum", "percentile_00_5"), 0.0)
STATISTICS |= dict.fromkeys(("std", "maximum", "percentile_99_5"), 1.0)


def write(workspace: Workspace, case: dict[str, Any]) -> None:
    """A data set of one case, and its plan."""
    raw, shape, channels = workspace.raw_dataset(NAME), tuple(case["shape"]), case.get("channels", 1)
    geometry = Geometry(shape, (2.0, 1.0, 1.0))
    labels = np.zeros(shape, np.uint8)
    edges = [size // 4 for size in shape]
    for value in range(1, case.get("labels", 1) + 1):
        labels[edges[0] : -edges[0], edges[1] + value : -edges[1], edges[2] : -edges[2]] = value
    ramp = np.arange(shape[1] * shape[2], dtype=np.int64).reshape(1, *shape[1:]) % 251
    image = ramp + np.arange(1, shape[0] + 1)[:, None, None]
    if case.get("air"):
        image = image * (labels > 0)
    for channel in range(channels):
        kind = case.get("type", "int16")
        write_image(
            raw / "imagesTr" / f"a_{channel:04d}.nii.gz", (image + channel * (image > 0)).astype(kind), geometry
        )
    write_label(raw / "labelsTr" / "a.nii.gz", labels, geometry)
    names = {f"organ {value}": value for value in range(1, case.get("labels", 1) + 1)}
    meaning = {"background": 0} | names
    described = {
        "channel_names": {str(channel): f"MR{channel}" for channel in range(channels)},
        "labels": meaning, "numTraining": 1, "file_ending": ".nii.gz",
    }  # fmt: skip
    (raw / "dataset.json").write_text(json.dumps(described))
    section = {
        "orientation": "as_stored", "transpose": [0, 1, 2], "spacing_mm": case["spacing"],
        "normalization": [{"name": "zscore"}] * channels,
        "mask_normalization": [bool(case.get("air"))] * channels,
        "intensities": [STATISTICS] * channels,
    }  # fmt: skip
    configuration = {
        "name": "3d_fullres", "preprocessing": section, "patch_size_voxels": [32, 32, 32], "batch_size": 2,
        "median_shape_voxels": [32, 32, 32], "network": {"name": "plain_unet"}, "batch_dice": False,
        "topology": {
            "features": [8], "strides": [[1, 1, 1]], "kernels": [[3, 3, 3]], "encoder_blocks": [1],
            "decoder_blocks": [],
        },
    }  # fmt: skip
    plan = {
        "dataset": NAME, "method": "own", "fingerprint": "f", "method_digest": "m",
        "channels": [f"MR{channel}" for channel in range(channels)], "labels": meaning,
        "regions_class_order": None, "mirror_axes": [], "decisions": [],
        "configurations": {"3d_fullres": configuration},
    }  # fmt: skip
    path = workspace.plan(NAME, "own")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(plan))
    Plan.load(path)


class Said(logging.Handler):
    """Keeps the estimate."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("memory: about"):
            self.needed = parse_size(str(record.args[0]), whole=1) if record.args else 0


def main(root: Path, cases: list[dict[str, Any]]) -> None:
    said = Said()
    log = logging.getLogger(limit.__name__)
    log.addHandler(said)
    log.setLevel(logging.INFO)
    for case in cases:
        workspace = Workspace(root / case["name"])
        write(workspace, case)
        forget_peak_memory(CPU)
        left_out = preprocess.run(preprocess.Options(NAME, method="own", workers=1), workspace).quarantined
        found = {"name": case["name"], "needed": said.needed, "peak": peak_memory_bytes(CPU), "left out": left_out}
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
