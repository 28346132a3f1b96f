"""Compressed arrays of preprocessed cases: packed in memory, written whole, opened without being read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

from autoseg.io._chunks import chunks_and_blocks


def open_array(path: Path) -> Any:
    """A stored array (C, Z, Y, X); slices of it are read from disk."""
    # Memory mapping saves a copy; Windows cannot rename or delete mapped files.
    mapping = {} if os.name == "nt" else {"mmap_mode": "r"}
    return blosc2.open(str(path), mode="r", dparams={"nthreads": 1}, **mapping)


def compressed(
    array: npt.NDArray[Any], patch_size_voxels: Sequence[int], *, notes: Mapping[str, str] | None = None
) -> bytes:
    """Content of the file of an array (C, Z, Y, X).

    Args:
        array: In C order.
        patch_size_voxels: What is usually read at once; decides the chunks.
        notes: Kept in the file beside the array.
    """
    chunks, blocks = chunks_and_blocks(array.shape, patch_size_voxels, itemsize=array.dtype.itemsize)
    # Threads would compete with the other cases' workers. Compressed in memory first, because blosc2's own file
    # writer does not tell a full disk from other trouble.
    parameters = {"codec": blosc2.Codec.LZ4, "clevel": 5, "nthreads": 1, "filters": [blosc2.Filter.SHUFFLE]}
    packed = blosc2.asarray(array, chunks=chunks, blocks=blocks, cparams=parameters, contiguous=True)
    for name, text in (notes or {}).items():
        packed.schunk.vlmeta[name] = text
    return bytes(packed.to_cframe())


def smallest_type(labels: npt.NDArray[np.integer[Any]]) -> type[np.signedinteger[Any]]:
    """Narrowest signed type that holds all values."""
    lowest, highest = int(labels.min()), int(labels.max())
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max:
            return kind
    return np.int64


def write_flushed(path: Path, content: bytes) -> None:
    """Write and wait until the disk has it."""
    with path.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
