"""Turn a device's name into a torch device, or say why it cannot be; limit torch's threads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from autoseg.core.errors import AutosegError

if TYPE_CHECKING:
    import torch

KINDS = ("auto", "cpu", "cuda", "mps")


def select_device(name: str = "auto") -> torch.device:
    """Device of `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; `auto` prefers CUDA, then MPS, then the CPU.

    GPUs are numbered as the driver numbers them, by which a plan's memory is looked up, unless `CUDA_DEVICE_ORDER` says
    otherwise. With CUDA, cuDNN tries its kernels for each shape and keeps the fastest, as in nnU-Net v2: patches are
    all alike.

    Raises:
        AutosegError: The name is unknown, or this machine has no such device.
    """
    import torch

    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    kind, _, index = name.partition(":")
    if kind not in KINDS or (index and not index.isdigit()):
        raise AutosegError(f"unknown device '{name}'", "choose from auto, cpu, cuda, cuda:1 or mps")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if kind == "mps" and not torch.backends.mps.is_available():
        raise AutosegError("this machine has no MPS device", "use --device cpu")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            raise AutosegError(f"this machine has {count} CUDA devices, not '{name}'", "use --device cpu or auto")
        torch.backends.cudnn.benchmark = True
        return torch.device("cuda", int(index or 0))
    return torch.device(kind)


def limit_threads(threads: int | None) -> None:
    """Limit torch's CPU threads; None leaves its own choice."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
