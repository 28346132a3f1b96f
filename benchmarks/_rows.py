"""Rows of prediction with random weights, and with a given model."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks._bench import Bench, Group
from benchmarks._data import (
    linked,
    random_models,
)
from benchmarks._figures import alternate, resources
from benchmarks._measure import Measurement
from benchmarks._results import Row


def predict(bench: Bench) -> list[Row]:
    """Held-out images to masks, the whole command, mirroring on."""
    random_ours, random_peer = random_models(bench)
    models = {"same network, random weights": random_ours}
    if bench.model is not None:
        models["given model"] = bench.model
    images, output = linked(bench, "imagesTr"), bench.work / "predicted"

    def run_peer() -> Measurement:
        shutil.rmtree(output / "peer", ignore_errors=True)
        return bench.nnunet(
            "predict_from_modelfolder",
            *("-i", images, "-o", output / "peer", "-m", random_peer, "-f", "0", "-device", "cpu"),
        )

    theirs = "nnUNetv2_predict_from_modelfolder -i IMAGES -o MASKS -m MODEL -f 0 -device cpu"
    rows = []
    for name, model in models.items():

        def run_ours(model: Path = model) -> Measurement:
            shutil.rmtree(output / "ours", ignore_errors=True)
            return bench.autoseg("predict", "-i", images, "-o", output / "ours", "-m", model, "--device", "cpu")

        ours, peer, load = alternate(bench, run_ours, run_peer)
        command = f"autoseg predict -i IMAGES -o MASKS -m MODEL --device cpu; {theirs}"
        facts = {"cases": len(list(images.iterdir()))}
        rows += resources(bench, f"predict: {name}", ours, peer, command=command, load=load, facts=facts)
    return rows


GROUPS = (Group.of(predict),)
