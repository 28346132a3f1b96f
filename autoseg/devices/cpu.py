"""What the processor can do, without importing torch."""

from __future__ import annotations

import math
from pathlib import Path

from autoseg.core.workers import default_workers

CPU_INFO = Path("/proc/cpuinfo")
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Instructions that multiply in bfloat16: AMD Zen 4 and Intel Cooper Lake; Intel Sapphire Rapids; Arm v8.6."""


def cpu_flags(cpu_info: Path = CPU_INFO) -> frozenset[str]:
    """Instruction sets of the first processor as Linux names them; empty where the system does not list them."""
    try:
        text = cpu_info.read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    lines = (line for line in text.splitlines() if line.startswith(("flags", "Features")))
    return frozenset(next(lines, "").partition(":")[2].split())


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
