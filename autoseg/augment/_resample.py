"""Linear interpolation of one axis at given positions: two gathers, no grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Taps:
    """For each output index along an axis the two input indices and their weights, each (N,)."""

    lower: Tensor
    upper: Tensor
    weight_lower: Tensor
    weight_upper: Tensor


def interpolate_axis(volume: Tensor, dim: int, taps: Taps) -> Tensor:
    """Weighted sum of two gathers along `dim`; for the last axis, where gathers are slow, a product with a matrix."""
    if dim == volume.ndim - 1:
        matrix = volume.new_zeros((volume.shape[dim], len(taps.lower)))
        for rows, weights in ((taps.lower, taps.weight_lower), (taps.upper, taps.weight_upper)):
            matrix.scatter_add_(0, rows[None], weights.to(matrix.dtype)[None])
        return volume @ matrix
    shape = [1] * volume.ndim
    shape[dim] = -1
    result = volume.index_select(dim, taps.lower).mul_(taps.weight_lower.view(shape))
    return result.addcmul_(volume.index_select(dim, taps.upper), taps.weight_upper.view(shape))


def zero_padded_taps(positions: Tensor, size: int) -> Taps:
    """Taps at `positions` (N,), in voxels, of an axis of `size` voxels with zeros around it."""
    floor = positions.floor()
    fraction = positions - floor
    lower = floor.long()
    inside_lower = (lower >= 0) & (lower < size)
    inside_upper = (lower >= -1) & (lower < size - 1)
    return Taps(
        lower=lower.clamp(0, size - 1),
        upper=(lower + 1).clamp(0, size - 1),
        weight_lower=(1 - fraction) * inside_lower,
        weight_upper=fraction * inside_upper,
    )


def nearest_indices(size: int, coarse_size: int, device: torch.device) -> Tensor:
    """The voxels that nearest-neighbour resampling from `size` to `coarse_size` keeps (half-pixel centres)."""
    return ((torch.arange(coarse_size, device=device) + 0.5) * (size / coarse_size)).long().clamp(max=size - 1)


def enlarging_taps(coarse_size: int, size: int, device: torch.device) -> Taps:
    """Taps from `coarse_size` to `size` voxels over the same extent, the border repeated."""
    position = ((torch.arange(size, device=device) + 0.5) * (coarse_size / size) - 0.5).clamp(min=0)
    lower = position.long().clamp(max=coarse_size - 1)
    fraction = position - lower
    return Taps(lower, (lower + 1).clamp(max=coarse_size - 1), 1 - fraction, fraction)
