"""How a stored array is cut: chunks about as large as a patch, made of blocks that fit the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Sequence

Cut = tuple[int, int, int, int]

_BLOCK_BYTES = 64 * 1024
_CHUNK_BYTES = 4 * 1024 * 1024


def chunks_and_blocks(shape: Sequence[int], patch_size_voxels: Sequence[int], *, itemsize: int) -> tuple[Cut, Cut]:
    """Chunk and block shapes of a (C, Z, Y, X) array; the channel axis is never joined.

    Reading a box decompresses every block it touches, so blocks keep the patch's proportions and small volumes are
    one block. Chunks are whole multiples of blocks, since blosc2 stores chunks padded to blocks: at most a patch, or
    for planar patches a stack of planes.

    Args:
        shape: (C, Z, Y, X).
        patch_size_voxels: (z, y, x), or (y, x) in 2D.
        itemsize: Bytes per value.
    """
    _, *size = shape
    patch = [*([1] * (3 - len(patch_size_voxels))), *patch_size_voxels]
    if math.prod(size) * itemsize <= 2 * _BLOCK_BYTES and len(patch_size_voxels) == 3:
        return _cut(size), _cut(size)
    wanted = [min(want, have) for want, have in zip(patch, size, strict=True)]
    block = list(wanted)
    while math.prod(block) * itemsize > _BLOCK_BYTES:
        divisible = [axis for axis in range(3) if block[axis] > 1]
        longest = max(divisible, key=lambda axis: (block[axis] / wanted[axis], block[axis]))
        block[longest] = math.ceil(block[longest] / 2)
    chunk = [min(math.ceil(want / part) * part, have) for want, part, have in zip(wanted, block, size, strict=True)]
    while math.prod(chunk) * itemsize > _CHUNK_BYTES:
        longest = max(range(3), key=lambda axis: chunk[axis] / block[axis])
        chunk[longest] = math.ceil(chunk[longest] / block[longest] / 2) * block[longest]
    if len(patch_size_voxels) == 2:
        # A plane is still read alone, being blocks of its own, but writing a chunk per plane takes 10 times as long.
        chunk[0] = max(1, min(size[0], _CHUNK_BYTES // (math.prod(chunk[1:]) * itemsize)))
    return _cut(chunk), _cut(block)


def _cut(size: Sequence[int]) -> Cut:
    return (1, int(size[0]), int(size[1]), int(size[2]))
