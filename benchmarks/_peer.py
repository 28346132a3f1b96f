"""Run by the peer's interpreter: one task of nnU-Net v2, described by a JSON argument; the last line is its result.

The environment names nnU-Net's folders. Needs nothing but nnunetv2.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

CONFIGURATION = "3d_fullres"


def random_model(request: dict[str, Any]) -> dict[str, Any]:
    """A model folder with the planned network and weights as initialised."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans, description = _documents(request["dataset"])
    manager = PlansManager(plans)
    configuration = manager.get_configuration(CONFIGURATION)
    network = nnUNetTrainer.build_network_architecture(
        manager,
        configuration,
        determine_num_input_channels(manager, configuration, description),
        manager.get_label_manager(description).num_segmentation_heads,
        True,
    )
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": CONFIGURATION},
        "inference_allowed_mirroring_axes": tuple(request["mirror_axes"]),
    }
    folder = Path(request["output"])
    (folder / "fold_0").mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(description))
    return {}


def export(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds from logits to labels on the native grid, with its default resampling."""
    import numpy as np
    import torch
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    values = torch.from_numpy(np.load(request["logits"]))
    plans, description = _documents(request["dataset"])
    plans["transpose_forward"] = plans["transpose_backward"] = [0, 1, 2]
    plans["configurations"][CONFIGURATION]["spacing"] = [3.0, 3.0, 3.0]
    labels = {"background": 0} | {f"organ {index}": index for index in range(1, len(values))}
    manager = PlansManager(plans)
    shape = tuple(request["shape"])
    properties = {
        "spacing": request["spacing_mm"],
        "shape_before_cropping": shape,
        "shape_after_cropping_and_before_resampling": shape,
        "bbox_used_for_cropping": [[0, size] for size in shape],
    }
    started = time.perf_counter()
    found = convert_predicted_logits_to_segmentation_with_correct_shape(
        values,
        manager,
        manager.get_configuration(CONFIGURATION),
        manager.get_label_manager({**description, "labels": labels}),
        properties,
    )
    seconds = time.perf_counter() - started
    np.save(request["output"], found)
    return {"seconds": seconds}


def _documents(dataset: str) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = Path(os.environ["nnUNet_preprocessed"]) / dataset  # noqa: SIM112 - its spelling
    return json.loads((folder / "nnUNetPlans.json").read_text()), json.loads((folder / "dataset.json").read_text())


def main() -> None:
    """Run the task of the request."""
    request = json.loads(sys.argv[1])
    result = {each.__name__: each for each in (random_model, export)}[request["task"]](request)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
