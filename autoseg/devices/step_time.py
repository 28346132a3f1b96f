"""How long a training step takes here: run a few and time them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from autoseg.devices.precision import torch_dtype

if TYPE_CHECKING:
    import torch
    from torch import nn


def seconds_per_step(
    network: nn.Module,
    *,
    patch_size_voxels: tuple[int, ...],
    batch_size: int,
    channels: int,
    device: torch.device,
    precision: str,
    repeats: int = 3,
) -> float:
    """Median seconds of one forward and backward pass on empty patches; loading, loss and optimiser are left out.

    Args:
        network: As built; it is moved to the device and keeps no gradients.
        patch_size_voxels: (z, y, x) or (y, x).
        batch_size: Patches per step.
        channels: Input channels.
        device: Where to run.
        precision: `float32`, `bfloat16` or `float16`.
        repeats: Timed steps, after one that is not.
    """
    import torch

    network.to(device).train()
    patches = torch.zeros((batch_size, channels, *patch_size_voxels), device=device)
    dtype = torch_dtype(precision)

    def step() -> None:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            outputs = network(patches)
        levels = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        total = torch.stack([logits.float().mean() for logits in levels]).sum()
        torch.autograd.backward(total)
        network.zero_grad(set_to_none=True)

    step()
    return statistics.median(_timed(step, device) for _ in range(repeats))


def _timed(step: Callable[[], None], device: torch.device) -> float:
    import torch

    started = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
