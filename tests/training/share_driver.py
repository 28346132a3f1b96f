"""Train tiny runs with two processes as torchrun does; rank 0 notes what it saw.

Called with a folder. Under `lost` the second process is lost once, after 3 updates, and all are started again; under
`muon` nothing happens. The processes are forked by torchrun's own agent, so that torch is imported once.
"""

import json
import os
import sys
from pathlib import Path

import torch
from tiny import Silent, share_run, tiny_parts
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from autoseg.training import trainer
from autoseg.training.distributed import join, leave
from autoseg.training.trainer import Trainer


def train(folder, run, share, *, marker=None):
    folder.mkdir(exist_ok=True)
    share.decide(lambda: run.save(folder / "run.json"))
    observer = Silent()
    told = observer.updated

    def updated(update, total, loss):
        told(update, total, loss)
        if marker is not None and update == 3 and share.rank == 1 and not marker.exists():
            marker.touch()
            os._exit(1)

    observer.updated = updated
    Trainer(run, folder, tiny_parts(run, share=share), observer).fit()
    if share.is_first:
        (folder / "losses.json").write_text(json.dumps(observer.losses))


def work(folder):
    torch.set_num_threads(1)
    share, _ = join(torch.device("cpu"))
    trainer.CHECKPOINT_INTERVAL_S, trainer.SAVING_SHARE = -1.0, float("inf")
    train(folder / "lost", share_run(), share, marker=folder / "marker")
    train(folder / "muon", share_run("muon"), share)
    leave()


def main(folder):
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id="tiny",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=1,
        monitor_interval=0.05,
        start_method="fork",
    )
    elastic_launch(config, work)(folder)


main(Path(sys.argv[1]))
