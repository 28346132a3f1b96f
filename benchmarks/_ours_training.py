"""Run by our interpreter: training steps and their parts; a JSON argument describes the task, as in `_ours.py`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoseg.specs.plan import Configuration
    from autoseg.training.step import Parts


def augment(request: dict[str, Any]) -> dict[str, Any]:
    """CPU seconds per batch of the augmentation of method `nnunet`, on one thread."""
    import torch

    from autoseg.augment._geometry import PatchGeometry
    from autoseg.augment._pipeline import Pipeline
    from autoseg.devices.memory import keep_freed_memory
    from autoseg.planning.methods import load_method
    from benchmarks._clock import sample

    keep_freed_memory()  # as training does
    torch.set_num_threads(1)
    pipeline = Pipeline(load_method("nnunet").train.augment, PatchGeometry(tuple(request["patch"])))
    size, source = request["batch"], pipeline.source_size_voxels
    one, labels = (torch.from_numpy(array) for array in sample(source))
    image, labels = torch.stack([one] * size), torch.stack([labels] * size)
    started = 0.0
    for index in range(request["warm_up"] + request["batches"]):
        if index == request["warm_up"]:
            started = time.process_time()
        first = request["seed"] + index * size
        pipeline(image, labels, seeds=range(first, first + size))
    return {"seconds": (time.process_time() - started) / request["batches"], "source": list(source)}


def step(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of single training updates of fold 0, loading and augmentation included, as the training loop runs."""
    from autoseg.training.step import gradient_step

    parts, configuration, clip = assembled(request)
    stream, seconds = parts.train.stream(0), []
    for _ in range(request["warm_up"] + request["steps"]):
        started = time.perf_counter()
        gradient_step(parts, next(stream), clip=clip)
        seconds.append(time.perf_counter() - started)
    stream.close()  # ends its reading thread
    return {
        "seconds": seconds[request["warm_up"] :],
        "batch": configuration.batch_size,
        "patch": list(configuration.patch_size_voxels),
        "features": list(configuration.topology.features),
        "parameters": sum(parameter.numel() for parameter in parts.state.network.parameters()),
    }


def split(request: dict[str, Any]) -> dict[str, Any]:
    """Mean seconds of the parts of a step, one after another: nothing is read ahead."""
    import torch

    from autoseg.training.step import gradient_step
    from benchmarks._clock import Clock

    parts, _, clip = assembled(request)
    clock = Clock()
    parts.augment = clock.timed(parts.augment, "augment in step")  # type: ignore[assignment]
    torch.nn.utils.clip_grad_norm_ = clock.timed(torch.nn.utils.clip_grad_norm_, "update")
    optimizer = parts.state.optimizer
    optimizer.step = clock.timed(optimizer.step, "update")  # type: ignore[method-assign]
    for index in range(request["warm_up"] + request["steps"]):
        if index == request["warm_up"]:
            clock.seconds.clear()
        with clock.part("fetch"):
            batch = parts.train.batch(index)
        with clock.part("step"):
            gradient_step(parts, batch, clip=clip)
    return clock.shares(request["steps"])


def bare(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of whole steps and, in turn, of forward, backward and update alone with a batch in memory."""
    import torch

    from autoseg.planning.methods import load_method
    from autoseg.training.optim import build_optimizer
    from autoseg.training.step import gradient_step

    (parts, configuration, clip), (other, *_) = assembled(request), assembled(request)
    network, stream = other.state.network, parts.train.stream(0)
    optimizer = build_optimizer(network, load_method("nnunet").train.optimizer)
    patches = torch.randn(configuration.batch_size, 1, *configuration.patch_size_voxels)

    def whole() -> None:
        gradient_step(parts, next(stream), clip=clip)

    def alone() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = sum((level.mean() for level in network(patches)), torch.zeros(()))
        loss.backward()
        optimizer.step()

    seconds: dict[str, list[float]] = {"whole": [], "alone": []}
    for _ in range(request["warm_up"] + request["steps"]):
        for name, call in (("whole", whole), ("alone", alone)):
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    stream.close()
    return {name: values[request["warm_up"] :] for name, values in seconds.items()}


def assembled(request: dict[str, Any]) -> tuple[Parts, Configuration, float]:
    """Live parts of fold 0 of method `nnunet`, its configuration, and its largest gradient norm."""
    from autoseg.core.workspace import Workspace
    from autoseg.devices.memory import keep_freed_memory
    from autoseg.planning.methods import load_method
    from benchmarks._training import planned_parts

    keep_freed_memory()
    method = load_method("nnunet")
    train = method.train.model_copy(update={"compile": request.get("compiled", method.train.compile)})
    parts, configuration = planned_parts(
        Workspace(Path(request["workspace"])),
        request["dataset"],
        method.model_copy(update={"train": train}),
        precision=request["precision"],
        device=request.get("device", "cpu"),
    )
    return parts, configuration, train.optimizer.gradient_clip


def main() -> None:
    """Run the task of the request."""
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    request = json.loads(sys.argv[1])
    tasks = {each.__name__: each for each in (augment, step, split, bare)}
    print(json.dumps(tasks[request["task"]](request)))


if __name__ == "__main__":
    main()
