"""Logits on disk instead of in memory: tensors over a file that has no name and goes with them."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from autoseg.core.atomic import named_disk_errors


@dataclass(frozen=True)
class OnDisk:
    """A tensor whose content is a file's.

    Attributes:
        tensor: As any other; the system reads and writes the file behind it.
        release: Let the system take its pages out of memory; they are read again when they are touched.
    """

    tensor: torch.Tensor
    release: Callable[[], None]


def empty_on_disk(folder: Path, shape: tuple[int, ...], kind: torch.dtype) -> OnDisk:
    """A tensor of zeros on disk; its space is reserved at once, as there would be no error later.

    Args:
        folder: Where; on a disk, not in a file system of memory.
        shape: Of the tensor.
        kind: Of its numbers.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
    """
    size = math.prod(shape) * kind.itemsize
    with contextlib.ExitStack() as stack:
        stack.enter_context(named_disk_errors(folder / "logits"))
        folder.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        mapping = mmap.mmap(file.fileno(), size)
    return OnDisk(torch.frombuffer(mapping, dtype=kind).view(shape), lambda: _release(mapping))


def _release(mapping: Any) -> None:
    # Windows and macOS decide by themselves.
    if hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
