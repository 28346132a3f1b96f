"""Rows that compare products, not programs: our trained model against the network that nnU-Net v2 plans."""

from __future__ import annotations

import shutil

from benchmarks._bench import Bench, Group, NotHereError
from benchmarks._data import linked, random_peer_model
from benchmarks._figures import alternate, resources
from benchmarks._measure import Measurement
from benchmarks._results import Row


def predict_products(bench: Bench) -> list[Row]:
    """Held-out hippocampus images with the model of `--model`, against the peer's planned network, mirroring on."""
    if bench.model is None:
        raise NotHereError("no model was given with --model")
    peers_model = random_peer_model(bench)
    images, output, model = linked(bench, "imagesTr"), bench.work / "predicted", bench.model

    def run_ours() -> Measurement:
        shutil.rmtree(output / "ours", ignore_errors=True)
        return bench.autoseg("predict", "-i", images, "-o", output / "ours", "-m", model, "--device", "cpu")

    def run_peer() -> Measurement:
        shutil.rmtree(output / "peer", ignore_errors=True)
        given = ("-i", images, "-o", output / "peer", "-m", peers_model, "-f", "0", "-device", "cpu")
        return bench.nnunet("predict_from_modelfolder", *given)

    ours, peer, load = alternate(bench, run_ours, run_peer)
    command = "autoseg predict -i IMAGES -o MASKS -m MODEL --device cpu; "
    command += "nnUNetv2_predict_from_modelfolder -i IMAGES -o MASKS -m MODEL -f 0 -device cpu"
    facts = {"cases": len(list(images.iterdir())), "peer's weights": "random"}
    return resources(bench, "predict: given model", ours, peer, command=command, load=load, facts=facts)


GROUPS = (Group.of(predict_products),)
