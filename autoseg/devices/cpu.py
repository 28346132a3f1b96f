"""What the processor can do, without importing torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.workers import default_workers

CPU_INFO = Path("/proc/cpuinfo")
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class CpuFeatures:
    """Instructions that decide the speed of half precision.

    Attributes:
        avx512_bf16: bfloat16 dot products (AMD Zen 4, Intel Cooper Lake and later).
        amx_bf16: bfloat16 matrix tiles (Intel Sapphire Rapids and later).
    """

    avx512_bf16: bool
    amx_bf16: bool

    @property
    def fast_bfloat16(self) -> bool:
        """Whether bfloat16 convolutions can beat float32."""
        return self.avx512_bf16 or self.amx_bf16


def cpu_features(cpu_info: Path = CPU_INFO) -> CpuFeatures:
    """Read the flags of the first processor; none where the system does not list them."""
    try:
        lines = cpu_info.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
    return CpuFeatures("avx512_bf16" in flags, "amx_bf16" in flags)


def thread_count(quota: Path = CPU_QUOTA) -> int:
    """Threads worth starting: the CPUs this process may run on, or fewer under a container's quota."""
    cpus = default_workers()
    try:
        granted, period = quota.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return cpus
    if granted == "max":
        return cpus
    return max(1, min(cpus, math.ceil(int(granted) / int(period))))
