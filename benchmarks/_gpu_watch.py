"""Watch a GPU from inside a measuring process: how busy it is, and where an update's time goes. Needs torch alone."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

COMMAND = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200")
"""For all GPUs of the machine."""


def busy_share(lines: str) -> float | None:
    """Mean of the utilisations in per cent that nvidia-smi printed, one per line, as a share; None without any."""
    found = []
    for line in lines.splitlines():
        with contextlib.suppress(ValueError):  # `[N/A]`, or a line cut off when it was stopped
            found.append(float(line.strip().removesuffix("%")))
    return sum(found) / len(found) / 100 if found else None


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Collects nvidia-smi's lines on torch's GPU in the list until the end of the block."""
    import torch

    lines: list[str] = []
    command = (*COMMAND, f"--id=GPU-{torch.cuda.get_device_properties().uuid}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def collect() -> None:
            lines.extend(process.stdout or ())

        reader = threading.Thread(target=collect, daemon=True)
        reader.start()
        try:
            yield lines
        finally:
            process.terminate()
            reader.join()


def timed_updates(
    fetch: Callable[[], Any], update: Callable[[Any], object], *, updates: int, warm_up: int
) -> dict[str, Any]:
    """Seconds of so many updates as they run, then the share of waiting for data, one update at a time.

    In the first pass the GPU works while the next batch is made ready. In the second the GPU is waited for after every
    update: what `fetch` takes then is waiting that no work hides.
    """
    import torch

    for _ in range(warm_up):
        update(fetch())
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    with watched() as lines:
        started = time.perf_counter()
        for _ in range(updates):
            update(fetch())
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_reserved() / 2**20
    waiting, began = 0.0, time.perf_counter()
    for _ in range(max(1, updates // 5)):
        before = time.perf_counter()
        batch = fetch()
        waiting += time.perf_counter() - before
        update(batch)
        torch.cuda.synchronize()
    return figures(seconds, waiting / (time.perf_counter() - began), "".join(lines), peak)


def figures(epoch_s: float, data_wait: float, lines: str, peak_mib: float) -> dict[str, Any]:
    """What a task reports."""
    busy = busy_share(lines)
    return {
        "epoch_s": epoch_s,
        "data_wait": data_wait,
        "idle": None if busy is None else 1 - busy,
        "peak_mib": peak_mib,
    }
