"""Runs predictions in a process of their own and prints, for each, what was estimated and what was held."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small import small_configuration

from autoseg.core.geometry import Geometry
from autoseg.core.sizes import parse_size
from autoseg.core.workspace import Workspace
from autoseg.devices import limit
from autoseg.devices.memory import forget_peak_memory, peak_memory_bytes
from autoseg.inference.model_folder import write_model_folder
from autoseg.io.images import write_image
from autoseg.networks import networks
from autoseg.specs.method import PredictChoices
from autoseg.specs.model import Member, Model
from autoseg.specs.plan import Configuration
from autoseg.stages import predict

CPU = torch.device("cpu")


def configuration(case: dict[str, Any], channels: int) -> Configuration:
    spacing = tuple(case.get("spacing", (1.0, 1.0, 1.0)))
    return small_configuration(
        "2d" if len(case["patch"]) == 2 else "3d_fullres",
        tuple(case["patch"]),
        channels=channels,
        preprocessing={"orientation": "canonical", "transpose": (0, 1, 2), "spacing_mm": spacing},
    )


def make(root: Path, case: dict[str, Any]) -> None:
    """Model folder and images of a case."""
    channels, heads = case.get("channels", 1), case.get("heads", 3)
    chosen = configuration(case, channels)
    labels = {"background": 0} | {f"organ {value}": value for value in range(1, heads)}
    model = Model(
        dataset="Dataset900_Tiny",
        method="test",
        channels=tuple(f"MR{index}" for index in range(channels)),
        labels=labels,
        regions_class_order=None,
        file_ending=".nii.gz",
        mirror_axes=(),
        predict=PredictChoices(step_size=1.0, mirror=False),
        members={chosen.name: Member(configuration=chosen, weights={}, sha256={})},
        selected=(chosen.name,),
        selection_reason="told so",
        training_cases=2,
    )
    torch.manual_seed(0)
    network = networks.build(
        chosen.network.name, chosen.network.options, topology=chosen.topology, channels=channels, heads=heads
    )
    state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    write_model_folder(root / "model", model, {chosen.name: {"0": state}})
    shape = tuple(case["shape"])
    ramp = (
        np.arange(shape[1] * shape[2], dtype=np.int64).reshape(1, *shape[1:]) % 251 + np.arange(shape[0])[:, None, None]
    )
    for number in range(case.get("cases", 1)):
        for channel in range(channels):
            path = root / "images" / f"c{number}_{channel:04d}.nii"
            write_image(path, (ramp + channel).astype(case.get("type", "int16")), Geometry(shape, (1.0, 1.0, 1.0)))


class Said(logging.Handler):
    """Keeps the line about memory."""

    def emit(self, record: logging.LogRecord) -> None:
        self.line = record.getMessage()
        self.needed = parse_size(str(record.args[0]), whole=1) if record.args else 0


def measure(name: str, folder: Path, masks: Path, said: Said, *, limit: int | None = None) -> int:
    """Segment and say what was estimated and held; the estimate comes back."""
    forget_peak_memory(CPU)
    options = predict.Options(
        folder / "images", masks, model=folder / "model", device="cpu", precision="float32", memory_limit=limit
    )
    outcome = predict.run(options, Workspace(folder))
    found = {"name": name, "line": said.line, "needed": said.needed, "limit": limit, "failed": outcome.failed}
    sys.stdout.write(json.dumps(found | {"peak": peak_memory_bytes(CPU)}) + "\n")
    return said.needed


def main(root: Path, cases: list[dict[str, Any]]) -> None:
    said = Said()
    log = logging.getLogger(limit.__name__)
    log.addHandler(said)
    log.setLevel(logging.INFO)
    torch.set_num_threads(1)
    for case in cases:
        name, folder = case["name"], root / case["name"]
        make(folder, case)
        needed = measure(name, folder, folder / "masks", said)
        if "saved" in case:
            measure(f"{name} short", folder, folder / "masks short", said, limit=needed - case["saved"] * 10**6)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
