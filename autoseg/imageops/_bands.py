"""Multiply a volume by a matrix along one axis, leaving out the parts of the matrix that are zero."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# A cubic spline's influence falls by 0.27 per voxel: beyond 1e-9 it is lost in float32's rounding.
_NEGLIGIBLE = 1e-9
# Output rows per block. Wider blocks read more zeros, narrower ones use the matrix units badly.
_BLOCK = 64

Floats = npt.NDArray[np.float32]
_Block = tuple[slice, slice, Floats]


def apply_along(volume: Floats, matrix: npt.NDArray[np.float64], axis: int) -> Floats:
    """Matrix times volume along one axis.

    Args:
        volume: (Z, Y, X).
        matrix: (size_out, volume.shape[axis]).
        axis: 0, 1 or 2.

    Returns:
        Contiguous volume whose `axis` has `size_out` voxels.
    """
    shape = list(volume.shape)
    shape[axis] = matrix.shape[0]
    result = np.empty(shape, np.float32)
    volume = np.ascontiguousarray(volume, np.float32)
    for rows, columns, block in _blocks(matrix):
        if axis == 0:
            flat_in, flat_out = volume.reshape(volume.shape[0], -1), result.reshape(result.shape[0], -1)
            np.matmul(block, flat_in[columns], out=flat_out[rows])
        elif axis == 1:
            np.matmul(block, volume[:, columns], out=result[:, rows])
        else:
            flat_in, flat_out = volume.reshape(-1, volume.shape[2]), result.reshape(-1, result.shape[2])
            np.matmul(flat_in[:, columns], block.T, out=flat_out[:, rows])
    return result


def _blocks(matrix: npt.NDArray[np.float64]) -> tuple[_Block, ...]:
    """Row blocks with the columns that matter to them."""
    blocks = []
    for start in range(0, matrix.shape[0], _BLOCK):
        rows = matrix[start : start + _BLOCK]
        used = np.flatnonzero((np.abs(rows) > _NEGLIGIBLE).any(axis=0))
        columns = slice(int(used[0]), int(used[-1]) + 1)
        blocks.append((slice(start, start + rows.shape[0]), columns, rows[:, columns].astype(np.float32)))
    return tuple(blocks)
