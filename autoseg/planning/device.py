"""What a plan may cost on this machine: a GPU's memory, or a CPU's speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DeviceBudget:
    """The device that a plan is made for.

    Attributes:
        kind: A GPU is bounded by memory, a CPU by speed.
        memory_gb: Memory of the GPU, 1e9 bytes; 0 on a CPU.
        gflops: Sustained speed of a training step on the CPU, 1e9 floating-point operations per second; 0 on a GPU.
        description: How the figures were found.
    """

    kind: Literal["gpu", "cpu"]
    memory_gb: float = 0.0
    gflops: float = 0.0
    description: str = ""
