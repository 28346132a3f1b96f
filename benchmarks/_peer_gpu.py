"""Run by the peer's interpreter: training updates of nnU-Net v2 on the GPU, as in `_ours_gpu.py`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

CONFIGURATION = "3d_fullres"


def train(request: dict[str, Any]) -> dict[str, Any]:
    """Figures of an epoch's updates of its own trainer, fold 0."""
    os.environ["nnUNet_compile"] = "t" if request["compiled"] else "f"  # noqa: SIM112 - its spelling
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from benchmarks._gpu_watch import timed_updates

    folder = Path(os.environ["nnUNet_preprocessed"]) / request["dataset"]  # noqa: SIM112 - its spelling
    plans, description = (json.loads((folder / name).read_text()) for name in ("nnUNetPlans.json", "dataset.json"))
    plans["continue_training"] = False
    torch.backends.cudnn.benchmark = True  # as its training command does
    trainer = nnUNetTrainer(plans, CONFIGURATION, 0, description, torch.device("cuda"))
    trainer.disable_checkpointing = True
    trainer.initialize()
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    found = timed_updates(
        lambda: next(trainer.dataloader_train),
        trainer.train_step,
        updates=request["updates"],
        warm_up=request["warm_up"],
    )
    trainer.on_train_end()
    return found


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    print(json.dumps(train(json.loads(sys.argv[1]))), flush=True)
