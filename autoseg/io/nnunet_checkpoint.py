"""nnU-Net's checkpoints without unpickling: weights are described first, and read when their description fits.

A PyTorch checkpoint is a zip with one pickle and the raw numbers beside it. The pickle is read, and not run, by
`_pickled`.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from autoseg.core.atomic import replacing
from autoseg.core.errors import CheckpointError
from autoseg.io._pickled import CURE, WEIGHTS, Opaque, StoredTensor, read_pickle

if TYPE_CHECKING:
    import torch

__all__ = ["Checkpoint", "Opaque", "StoredTensor", "write_checkpoint"]

LARGEST_PROGRAM_BYTES = 64 * 2**20
"""Of the pickle without the numbers; nnU-Net's after 1000 epochs has less than 1 MB."""
LARGEST_WEIGHTS_BYTES = 16 * 2**30
"""Of all numbers that are read."""
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError)


class Checkpoint:
    """An open checkpoint.

    Args:
        handle: Seekable file, open while tensors are read.
        where: How to name it in messages.

    Attributes:
        values: The pickled dictionary; tensors are `StoredTensor`s.

    Raises:
        CheckpointError: It is damaged, too large, or names anything but weights and plain values.
    """

    def __init__(self, handle: IO[bytes], where: str) -> None:
        self.where = where
        try:
            self._archive = zipfile.ZipFile(handle)
            programs = [name for name in self._archive.namelist() if name.endswith("/data.pkl")]
            if len(programs) != 1:
                raise CheckpointError(f"{where} is not a PyTorch checkpoint", CURE)
            self._prefix = programs[0].removesuffix("data.pkl")
            program = self._read("data.pkl", LARGEST_PROGRAM_BYTES)
            if f"{self._prefix}byteorder" in self._archive.namelist() and self._read("byteorder", 6) != b"little":
                raise CheckpointError(f"{where} was written by a big-endian machine", "save it again on another one")
        except DAMAGED as error:
            raise CheckpointError(f"{where} is not a whole PyTorch checkpoint ({error})", CURE) from error
        self.values = read_pickle(program, where, WEIGHTS)

    def tensors(self, chosen: Mapping[str, StoredTensor]) -> dict[str, torch.Tensor]:
        """Read tensors onto the CPU.

        Raises:
            CheckpointError: Numbers are missing, or a tensor reaches beyond them.
        """
        import torch

        total = sum(each.storage.count * each.storage.bytes_each for each in chosen.values())
        if total > LARGEST_WEIGHTS_BYTES:
            raise CheckpointError(f"{self.where} holds {total / 2**30:.1f} GiB of weights", "import single folds")
        found = {}
        for name, each in chosen.items():
            dtype = getattr(torch, each.storage.kind)
            numbers = torch.frombuffer(bytearray(self._numbers(name, each)), dtype=dtype)
            found[name] = numbers.as_strided(each.shape, each.strides, each.offset).clone()
        return found

    def _numbers(self, name: str, tensor: StoredTensor) -> bytes:
        storage = tensor.storage
        furthest = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
        inside = math.prod(tensor.shape) <= storage.count and tensor.offset + furthest < storage.count
        if 0 in tensor.shape or not inside:
            raise CheckpointError(f"{self.where}: the weight '{name}' reaches beyond its numbers", CURE)
        size = storage.count * storage.bytes_each
        try:
            content = self._read(f"data/{storage.key}", size)
        except KeyError as error:
            raise CheckpointError(f"{self.where}: the numbers of the weight '{name}' are missing", CURE) from error
        except DAMAGED as error:
            raise CheckpointError(f"{self.where}: the weight '{name}' cannot be read ({error})", CURE) from error
        if len(content) != size:
            raise CheckpointError(f"{self.where}: the weight '{name}' is cut off", CURE)
        return content

    def _read(self, name: str, limit: int) -> bytes:
        with self._archive.open(self._prefix + name) as member:
            content = member.read(limit + 1)
        if len(content) > limit:
            raise CheckpointError(f"{self.where}: its part '{name}' has more than {limit} bytes", CURE)
        return content


def write_checkpoint(path: Path, values: Mapping[str, Any]) -> None:
    """Write what `torch.load` reads, atomically.

    Args:
        path: Ends in `.pth`.
        values: Plain values and tensors; tensors that share memory are stored once.
    """
    import torch

    with replacing(path) as temporary:
        torch.save(dict(values), temporary)
