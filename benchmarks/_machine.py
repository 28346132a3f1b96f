"""What this machine is, how fast it multiplies and copies at best, and what a piece of work would take at that rate."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from benchmarks._results import Limit

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Rates:
    """Best of several tries of `_ours.py`'s task `rates`.

    Attributes:
        device: `cpu`, or the GPU's name.
        float32: Operations per second of a matrix product, two per multiply-add.
        bfloat16: The same in bfloat16, summed in float32.
        copy: Bytes per second of copying an array much larger than the caches; each byte is read and written, and
            counts twice.
    """

    device: str
    float32: float
    bfloat16: float
    copy: float

    def compute(self, operations: float, precision: Precision) -> Limit:
        """Seconds that so many operations (two per multiply-add) take at the measured rate of matrix products."""
        rate = self.float32 if precision == "float32" else self.bfloat16
        name = f"{operations / 1e9:.3g} GFLOP at {rate / 1e9:.0f} GFLOP/s ({precision} matrix product)"
        return Limit(operations / rate, name)

    def move(self, size_bytes: float) -> Limit:
        """Seconds that reading and writing so many bytes, counted once each, take at the measured rate of copying."""
        return Limit(size_bytes / self.copy, f"{size_bytes / 2**20:.0f} MiB at {self.copy / 1e9:.1f} GB/s (copying)")

    def describe(self) -> str:
        """One line for the table's head."""
        return (
            f"{self.float32 / 1e9:.0f} GFLOP/s in float32 and {self.bfloat16 / 1e9:.0f} in bfloat16 (matrix product), "
            f"{self.copy / 1e9:.1f} GB/s copied, reading and writing counted, on {self.device}"
        )


def machine_facts() -> dict[str, Any]:
    """What the figures depend on and a reader may want to know."""
    return {
        "cpu_model": _cpu_model(),
        "cores": psutil.cpu_count() or 1,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
