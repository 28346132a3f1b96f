"""What a plan may cost on this machine, found without torch: a GPU's memory, or a CPU's speed."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import Literal

from autoseg.devices.cpu import cpu_flags, thread_count

GFLOPS_PER_CORE = (("amx_bf16", 200.0), ("avx512_bf16", 200.0), ("bf16", 100.0), ("avx512f", 100.0), ("avx2", 50.0))
"""Sustained speed of a training step per core by the best instruction set, first match.

Measured on a 2-core EPYC with avx512_bf16 (whole training steps of a plain U-Net, batch 7 of 40 x 56 x 40): 212
GFLOP/s in float32 and 423 in bfloat16 at width 32, 135 and 449 at width 16. A table instead of a probe: under load a
matrix product read a fifth of that, and a plan must come out the same when it is made again. `bf16` is Arm's.
"""
GFLOPS_OF_OTHER_CORES = 50.0

GIGABYTE = 1e9


@dataclass(frozen=True)
class DeviceBudget:
    """The device that a plan is made for.

    Attributes:
        kind: A GPU is bounded by memory, a CPU by speed.
        memory_gb: Memory of the GPU in 1e9 bytes; 0 on a CPU.
        gflops: Sustained speed of a training step on the CPU in 1e9 operations per second; 0 on a GPU.
        description: How the figures were found.
    """

    kind: Literal["gpu", "cpu"]
    memory_gb: float = 0.0
    gflops: float = 0.0
    description: str = ""


def measure_device(device: str = "auto") -> DeviceBudget:
    """Budget of a device by name: `auto`, `cpu`, `cuda` or `cuda:1`; without such a GPU that of the CPU."""
    if device == "cpu":
        return cpu_budget()
    index = int(device.partition(":")[2] or 0)
    memory = gpu_memory_bytes(index)
    if memory is None:
        return cpu_budget()
    gigabytes = memory / GIGABYTE
    return DeviceBudget("gpu", memory_gb=gigabytes, description=f"GPU {index} has {gigabytes:.1f} GB")


def cpu_budget(cores: int | None = None, flags: frozenset[str] | None = None) -> DeviceBudget:
    """Speed of this CPU by its instruction set; arguments replace what is found."""
    cores = thread_count() if cores is None else cores
    flags = cpu_flags() if flags is None else flags
    name, per_core = next(
        ((flag, speed) for flag, speed in GFLOPS_PER_CORE if flag in flags), ("this CPU", GFLOPS_OF_OTHER_CORES)
    )
    gflops = cores * per_core
    return DeviceBudget(
        "cpu",
        gflops=gflops,
        description=f"no GPU; {cores} cores with {name} at {per_core:g} GFLOP/s are {gflops:g} GFLOP/s",
    )


def gpu_memory_bytes(index: int = 0) -> int | None:
    """Memory of an NVIDIA GPU by the driver's library, counted among the visible ones; None without one."""
    identifier: int | str = index
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        listed = [part.strip() for part in visible.split(",")]
        if index >= len(listed) or listed[index] in ("", "-1"):
            return None
        identifier = int(listed[index]) if listed[index].isdigit() else listed[index]
    try:
        return _nvml_memory(ctypes.CDLL("libnvidia-ml.so.1"), identifier)
    except OSError:
        return None


class _Memory(ctypes.Structure):
    """`nvmlMemory_t`."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def _nvml_memory(library: ctypes.CDLL, identifier: int | str) -> int | None:
    """Memory of a GPU by its number, or by its UUID, also of a MIG slice."""
    if library.nvmlInit_v2() != 0:
        return None
    try:
        handle, memory = ctypes.c_void_p(), _Memory()
        if _find(library, identifier, handle) != 0:
            return None
        if library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) != 0:
            return None
        return int(memory.total)
    finally:
        library.nvmlShutdown()


def _find(library: ctypes.CDLL, identifier: int | str, handle: ctypes.c_void_p) -> int:
    """Set the handle; for a UUID that is cut short, which CUDA takes and the library does not, to the first GPU."""
    if isinstance(identifier, str):
        refused = library.nvmlDeviceGetHandleByUUID(ctypes.c_char_p(identifier.encode()), ctypes.byref(handle))
        if not refused:
            return 0
        identifier = 0
    return int(library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(identifier), ctypes.byref(handle)))
