"""Run by the peer's interpreter: training steps of nnU-Net v2 and their parts, as in `_peer.py`."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

CONFIGURATION = "3d_fullres"
LARGEST_ANGLE = math.pi / 6
"""Of its rotations of 3D patches whose edges are alike, and what its trainer enlarges the patch for."""


def augment(request: dict[str, Any]) -> dict[str, Any]:
    """CPU seconds per batch of its trainer's default transforms, on one thread, as in its loading processes."""
    import numpy as np
    import torch
    from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from threadpoolctl import threadpool_limits

    from benchmarks._clock import sample

    torch.set_num_threads(1)
    patch, angles = request["patch"], (-LARGEST_ANGLE, LARGEST_ANGLE)
    source = [int(edge) for edge in get_patch_size(patch, angles, angles, angles, (0.85, 1.25))]
    transforms = nnUNetTrainer.get_training_transforms(
        patch, angles, None, (0, 1, 2), False, use_mask_for_norm=[False], foreground_labels=[1, 2]
    )
    image, labels = (torch.from_numpy(array) for array in sample(source))
    np.random.seed(request["seed"])
    torch.manual_seed(request["seed"])
    seconds = []
    with threadpool_limits(1):
        for _ in range((request["warm_up"] + request["batches"]) * request["batch"]):
            given = {"image": image.clone(), "segmentation": labels.clone()}  # it may write into what it is given
            started = time.process_time()
            transforms(**given)
            seconds.append(time.process_time() - started)
    counted = seconds[request["warm_up"] * request["batch"] :]
    return {"seconds": sum(counted) / request["batches"], "source": source}


def step(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of single training updates of its own trainer on the CPU, fold 0, next batch included."""
    trainer = _started_trainer(request)
    seconds = []
    for _ in range(request["warm_up"] + request["steps"]):
        started = time.perf_counter()
        trainer.train_step(next(trainer.dataloader_train))
        seconds.append(time.perf_counter() - started)
    trainer.on_train_end()
    return {
        "seconds": seconds[request["warm_up"] :],
        "batch": trainer.configuration_manager.batch_size,
        "patch": [int(size) for size in trainer.configuration_manager.patch_size],
        "features": list(trainer.configuration_manager.network_arch_init_kwargs["features_per_stage"]),
        "parameters": sum(parameter.numel() for parameter in trainer.network.parameters()),
    }


def split(request: dict[str, Any]) -> dict[str, Any]:
    """Mean seconds of the parts of a step, one after another: the environment asks for no loading processes."""
    import torch

    from benchmarks._clock import Clock

    trainer, clock = _started_trainer(request), Clock()
    loader = trainer.dataloader_train.data_loader
    loader.transforms = clock.timed(loader.transforms, "augment in fetch")
    torch.nn.utils.clip_grad_norm_ = clock.timed(torch.nn.utils.clip_grad_norm_, "update")
    trainer.optimizer.step = clock.timed(trainer.optimizer.step, "update")
    for index in range(request["warm_up"] + request["steps"]):
        if index == request["warm_up"]:
            clock.seconds.clear()
        with clock.part("fetch"):
            batch = next(trainer.dataloader_train)
        with clock.part("step"):
            trainer.train_step(batch)
    trainer.on_train_end()
    return clock.shares(request["steps"])


def _started_trainer(request: dict[str, Any]) -> Any:
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.set_num_threads(os.cpu_count() or 1)  # as its training command does on a CPU
    folder = Path(os.environ["nnUNet_preprocessed"]) / request["dataset"]  # noqa: SIM112 - its spelling
    plans, description = (json.loads((folder / name).read_text()) for name in ("nnUNetPlans.json", "dataset.json"))
    plans["continue_training"] = False
    trainer = nnUNetTrainer(plans, CONFIGURATION, 0, description, torch.device("cpu"))
    trainer.disable_checkpointing = True
    trainer.initialize()
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    return trainer


def main() -> None:
    """Run the task of the request."""
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    request = json.loads(sys.argv[1])
    result = {each.__name__: each for each in (augment, step, split)}[request["task"]](request)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
