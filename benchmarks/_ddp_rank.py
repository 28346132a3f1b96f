"""One of the processes of `benchmarks.ddp`: trains a prepared fold and notes losses and seconds of every update.

Alone, or as one of several that torchrun started; a JSON argument describes the work.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from autoseg.core.workspace import Workspace
from autoseg.devices.memory import keep_freed_memory
from autoseg.planning.methods import load_method
from autoseg.training.distributed import Share, join, leave
from autoseg.training.muon import Muon
from autoseg.training.optim import set_learning_rate
from autoseg.training.step import Parts, gradient_step
from benchmarks._training import planned_parts


def parts_of(request: dict[str, Any], share: Share, overrides: list[str]) -> tuple[Parts, float]:
    """What is trained, without autocast on the CPU, and where its gradients are clipped."""
    method = load_method(request["method"], tuple(overrides))
    workspace = Workspace(Path(request["workspace"]))
    parts, _ = planned_parts(workspace, request["dataset"], method, precision="float32", share=share)
    set_learning_rate(parts.state.optimizer, method.train.optimizer.learning_rate)
    return parts, method.train.optimizer.gradient_clip


def widen(parts: Parts) -> None:
    """Networks and optimisers in float64, where rounding is too small for any optimiser to enlarge."""
    network = parts.state.network.double()
    parts.forward = lambda image: network(image.double())
    if isinstance(parts.state.optimizer, Muon):
        parts.state.optimizer.dtype = torch.float64


def train(request: dict[str, Any], share: Share, training: dict[str, Any]) -> dict[str, Any]:
    """All updates of one training; processor seconds are this process's."""
    parts, clip = parts_of(request, share, training["overrides"])
    rate, rising = parts.state.optimizer.param_groups[0]["lr"], training["rising"]
    if request["double"]:
        widen(parts)
    stream, losses, seconds = parts.train.stream(0), [], []
    for update in range(request["updates"]):
        torch.manual_seed(update)
        set_learning_rate(parts.state.optimizer, rate * min(1.0, (update + 1) / max(1, rising)))
        if update == request["warm_up"]:
            used = time.process_time()
        started = time.perf_counter()
        losses.append(gradient_step(parts, next(stream), clip=clip))
        seconds.append(time.perf_counter() - started)
    used = (time.process_time() - used) / (request["updates"] - request["warm_up"])
    stream.close()
    return {"losses": losses, "seconds": seconds, "cpu_seconds": used, "batch": parts.train.batch_size}


def main(request: dict[str, Any]) -> None:
    """Every training in turn; the first process writes what it saw."""
    torch.set_num_threads(request["threads"])
    keep_freed_memory()
    share, _ = join(torch.device("cpu"))
    found = {name: train(request, share, training) for name, training in request["trainings"].items()}
    if share.is_first:
        Path(request["output"]).write_text(json.dumps(found))
    leave()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
