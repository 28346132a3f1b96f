"""Started by torchrun: train a tiny run with several processes; rank 0 notes what it saw.

Called with a folder and the number of epochs; `lose` as a third word kills the second process once, after 3 updates.
"""

import json
import os
import sys
from pathlib import Path

import torch
from tiny import Silent, share_run, tiny_parts

from autoseg.training import trainer
from autoseg.training.distributed import join, leave
from autoseg.training.trainer import Trainer


def main(folder, epochs, lose):
    torch.set_num_threads(1)
    share, _ = join(torch.device("cpu"))
    run = share_run(epochs=epochs)
    if share.is_first:
        share.decide(lambda: run.save(folder / "run.json"))
    else:
        share.decide(None)
    observer = Silent()
    marker = folder / "lost"
    if lose:
        trainer.CHECKPOINT_INTERVAL_S = -1.0
    told = observer.updated

    def updated(update, total, loss):
        told(update, total, loss)
        if lose and update == 3 and share.rank == 1 and not marker.exists():
            marker.touch()
            os._exit(1)

    observer.updated = updated
    Trainer(run, folder, tiny_parts(run, share=share), observer).fit()
    if share.is_first:
        (folder / "losses.json").write_text(json.dumps(observer.losses))
    leave()


main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["lose"])
