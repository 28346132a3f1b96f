"""Mean logits of windows over mirrored copies and folds: passes side by side on a CPU, batches on a GPU."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal, cast

import torch
from torch import nn

from autoseg.devices.memory import is_out_of_memory

Precision = Literal["float32", "bfloat16", "float16"]
Device = str | torch.device
Axes = tuple[int, ...]

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CPU_PLANAR_WINDOWS = 8
"""2D windows in one pass on a CPU. 3D ones go alone, as their activations just fit the caches: eight at once took 1.2
to 1.4 times as long per window."""
GPU_COPIES, GPU_PLANAR_COPIES = 8, 64
MOST_CPU_PASSES = 4
"""Passes side by side on a CPU, as each holds its own activations; further threads work within the passes."""


def cast_networks(networks: Iterable[nn.Module], *, device: Device, precision: Precision) -> tuple[nn.Module, ...]:
    """The same networks, moved to `device`, in evaluation mode, their weights converted once and not in every pass."""
    return tuple(network.to(device=device, dtype=DTYPES[precision]).eval() for network in networks)


@dataclass(frozen=True)
class Swap:
    """What changes places in a mirrored copy, where labels come in left-right pairs.

    Attributes:
        axis: Of the window (without channel): its reversal turns left into right.
        channels: Order of the input channels of a copy reversed along it; it undoes itself.
        heads: The same of the heads.
    """

    axis: int
    channels: tuple[int, ...]
    heads: tuple[int, ...]


@dataclass(frozen=True)
class Passes:
    """What is averaged.

    Attributes:
        networks: One per fold.
        flips: Axes of the window (without channel) to reverse in each copy.
        device: Where the networks are.
        precision: Type to compute in; networks of another type run under autocast.
        swap: What changes places in copies that are reversed along its axis.
        at_once: Most passes side by side on a CPU; None is as many as are fast. Their threads stay as they are, so
            that results are the same to the last bit.
    """

    networks: tuple[nn.Module, ...]
    flips: tuple[Axes, ...]
    device: torch.device
    precision: Precision
    swap: Swap | None = None
    at_once: int | None = None

    @property
    def count(self) -> int:
        """Passes per window."""
        return len(self.networks) * len(self.flips)

    def mirrored(self, windows: torch.Tensor, axes: Axes) -> torch.Tensor:
        """A copy (B, C, *patch) for the networks; the windows themselves where `axes` is empty."""
        flipped = _flip(windows, axes)
        return flipped[:, self.swap.channels] if self.swap is not None and self.swap.axis in axes else flipped

    def undone(self, outputs: torch.Tensor, axes: Axes) -> torch.Tensor:
        """Logits (B, heads, *patch) of such a copy, for the windows as they were."""
        flipped = _flip(outputs, axes)
        return flipped[:, self.swap.heads] if self.swap is not None and self.swap.axis in axes else flipped

    def run(self, network: nn.Module, windows: torch.Tensor) -> torch.Tensor:
        """(B, C, *patch) -> (B, heads, *patch)."""
        dtype = DTYPES[self.precision]
        weight = next(network.parameters(), None)
        with torch.inference_mode():
            if self.precision == "float32" or (weight is not None and weight.dtype == dtype):
                return cast(torch.Tensor, network(windows.to(dtype)))
            with torch.autocast(self.device.type, dtype):
                return cast(torch.Tensor, network(windows.float()))


def mean_logits(
    passes: Passes,
    windows: Iterable[torch.Tensor],
    *,
    planar: bool,
    batch: int | None = None,
    make_room: Callable[[], bool] = lambda: False,
) -> Iterator[torch.Tensor]:
    """(C, *patch) windows in, float32 (heads, *patch) mean logits out, in order.

    Args:
        passes: What is averaged.
        windows: Read a few ahead of what is yielded.
        planar: Whether they are 2D.
        batch: Windows, or on a GPU their copies, per pass; None takes what is fastest on the device.
        make_room: Called when a GPU's memory does not hold one copy; whether it has freed some.
    """
    if passes.device.type == "cpu":
        return _on_cpu(passes, windows, at_once=batch or (CPU_PLANAR_WINDOWS if planar else 1))
    copies = batch or (GPU_PLANAR_COPIES if planar else GPU_COPIES)
    return _in_batches(passes, windows, copies=copies, make_room=make_room)


def _on_cpu(passes: Passes, windows: Iterable[torch.Tensor], *, at_once: int) -> Iterator[torch.Tensor]:
    """Whole passes side by side, one thread each where they suffice; fewer passes than threads share them all.

    Two threads that share every convolution wait for each other at its end: two passes of one thread each took 0.94
    of their time on an idle machine, and a fifth on a busy one.
    """
    threads = torch.get_num_threads()
    usual = cpu_passes()
    workers = min(usual, passes.at_once or usual)
    ahead = math.ceil(workers / passes.count)

    def one(network: nn.Module, group: torch.Tensor, axes: Axes) -> torch.Tensor:
        return passes.undone(passes.run(network, passes.mirrored(group, axes)), axes)

    groups = _grouped(windows, at_once)
    first = list(islice(groups, math.ceil(usual / passes.count)))
    groups = chain(first, groups)
    if usual == 1 or len(first) * passes.count < usual:
        for group in groups:
            yield from _mean(one(network, group, axes) for axes in passes.flips for network in passes.networks)
        return
    each = threads // usual
    pool = ThreadPoolExecutor(workers, "forward", torch.set_num_threads, (each,))
    waiting: deque[deque[Future[torch.Tensor]]] = deque()
    try:
        torch.set_num_threads(each)  # helpers of this thread's sums would spin on the cores that the passes need
        for group in groups:
            jobs = [(network, group, axes) for axes in passes.flips for network in passes.networks]
            waiting.append(deque(pool.submit(one, *job) for job in jobs))
            if len(waiting) > ahead:
                yield from _mean(_results(waiting.popleft()))
        while waiting:
            yield from _mean(_results(waiting.popleft()))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # some of the math libraries have one setting for all threads


def cpu_passes() -> int:
    """Passes that run side by side on a CPU."""
    return max(1, min(torch.get_num_threads(), MOST_CPU_PASSES))


def _results(futures: deque[Future[torch.Tensor]]) -> Iterator[torch.Tensor]:
    """Results in order, each let go of once it has been used: forty passes of 118 heads would not fit."""
    while futures:
        yield futures.popleft().result()


def _in_batches(
    passes: Passes, windows: Iterable[torch.Tensor], *, copies: int, make_room: Callable[[], bool] = lambda: False
) -> Iterator[torch.Tensor]:
    """Many copies in a pass; half as many from then on when the device's memory runs out, down to one."""
    wanted = copies
    for group in _grouped(windows, max(1, copies // len(passes.flips))):
        done = 0
        while done < len(group):
            part = group[done : done + max(1, copies // len(passes.flips))]
            try:
                result = _mean(_copies_of(passes, part.to(passes.device), max(1, copies // len(part))))
            except RuntimeError as error:
                if not is_out_of_memory(error) or (copies == 1 and not make_room()):
                    raise
                copies = copies // 2 or wanted
                continue
            yield from result
            done += len(part)


def _copies_of(passes: Passes, windows: torch.Tensor, flips_at_once: int) -> Iterator[torch.Tensor]:
    for first in range(0, len(passes.flips), flips_at_once):
        flips = passes.flips[first : first + flips_at_once]
        stacked = torch.cat([passes.mirrored(windows, axes) for axes in flips])
        for network in passes.networks:
            outputs = passes.run(network, stacked).chunk(len(flips))
            for axes, output in zip(flips, outputs, strict=True):
                yield passes.undone(output, axes)


@torch.inference_mode()
def _mean(outputs: Iterable[torch.Tensor]) -> torch.Tensor:
    """Float32 mean, summed as the outputs come; their number is unknown before."""
    total, count = torch.zeros(()), 0
    for output in outputs:
        total = output.to(torch.float32, copy=True) if count == 0 else total.add_(output)
        count += 1
    return total.div_(count)


def _grouped(windows: Iterable[torch.Tensor], size: int) -> Iterator[torch.Tensor]:
    """Stacks of up to `size` windows."""
    iterator = iter(windows)
    while group := list(islice(iterator, size)):
        yield torch.stack(group)


def _flip(batch: torch.Tensor, axes: Axes) -> torch.Tensor:
    """Reverse `axes` of the windows; the batch itself where there are none."""
    return torch.flip(batch, [axis + 2 for axis in axes]) if axes else batch
