"""Which number format a device computes fastest in without hurting training."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Literal

from autoseg.core.errors import SpecError
from autoseg.core.registry import nearest
from autoseg.devices.cpu import BFLOAT16_FLAGS, cpu_flags

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16", "float16"]
PROBE_GAIN = 1.2
"""How much faster bfloat16 must be on a CPU to be used; without instructions for it, it is slower."""


def choose_precision(device: torch.device, wanted: Literal["auto"] | Precision = "auto") -> Precision:
    """Autocast type for a device; anything but `auto` is taken as it is.

    CUDA: bfloat16 where the hardware computes it, else float16 (with a gradient scaler in training). CPU: bfloat16
    where a convolution is faster in it, measured once per process. MPS and others: float32.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        import torch

        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float16"
    if device.type == "cpu" and cpu_prefers_bfloat16():
        return "bfloat16"
    return "float32"


def has_sound_gradient(*, slices: int, kernel: int) -> bool:
    """Whether torch's gradient of a 3D convolution's weights can be trusted in reduced precision on a CPU.

    Measured with torch 2.13 on a CPU with avx512_bf16, against float32: kernels of 3 fail at 2 slices, those of 5 at 2,
    3 and 4 (finite, but wrong by 90 %, or NaN), whatever batch, width, height and, but for the thinnest, channels; not
    at 1 slice, and not for few rows or columns.

    Args:
        slices: Of the input, its first spatial axis.
        kernel: Edge along that axis.
    """
    return slices == 1 or slices >= kernel


def torch_dtype(precision: str) -> torch.dtype:
    """`torch.bfloat16` for `bfloat16`, and so on.

    Raises:
        SpecError: Another word.
    """
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision not in known:
        raise SpecError(f"unknown precision '{precision}'", nearest(precision, known))
    return known[precision]


@functools.cache
def cpu_prefers_bfloat16() -> bool:
    """Whether this CPU has bfloat16 instructions, by its flags; where flags are hidden, by timing a convolution."""
    flags = cpu_flags()
    if flags:
        return not flags.isdisjoint(BFLOAT16_FLAGS)
    import torch

    return _seconds(torch.float32) > PROBE_GAIN * _seconds(torch.bfloat16)


def _seconds(dtype: torch.dtype) -> float:
    import torch

    image = torch.ones(1, 16, 16, 32, 32, dtype=dtype)
    kernel = torch.ones(16, 16, 3, 3, 3, dtype=dtype)
    durations = []
    for _ in range(4):
        started = time.perf_counter()
        torch.nn.functional.conv3d(image, kernel, padding=1)
        durations.append(time.perf_counter() - started)
    return min(durations)
