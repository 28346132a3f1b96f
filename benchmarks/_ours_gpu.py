"""Run by our interpreter: training updates on the GPU; a JSON argument describes the task."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def train(request: dict[str, Any]) -> dict[str, Any]:
    """Figures of an epoch's updates of fold 0, as the training loop runs them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from autoseg.training.step import gradient_step
    from benchmarks._gpu_watch import timed_updates
    from benchmarks._ours_training import assembled

    parts, _, clip = assembled({"precision": "bfloat16", "device": "cuda", **request})
    stream = parts.train.stream(0)
    # Compiled code hides its operations from the counter.
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        gradient_step(parts, next(stream), clip=clip)
    found = timed_updates(
        lambda: next(stream),
        lambda batch: gradient_step(parts, batch, clip=clip),
        updates=request["updates"],
        warm_up=request["warm_up"],
    )
    stream.close()  # ends its readers
    return found | {"operations": counter.get_total_flops()}


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    print(json.dumps(train(json.loads(sys.argv[1]))))
