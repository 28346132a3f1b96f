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
    """Weighted sum of two gathers along `dim`."""
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


def coarsened_taps(size: int, coarse_size: int, device: torch.device) -> Taps:
    """Taps that equal picking `coarse_size` nearest voxels and going back to `size` linearly (half-pixel centres)."""
    picked = ((torch.arange(coarse_size, device=device) + 0.5) * (size / coarse_size)).long().clamp(max=size - 1)
    position = ((torch.arange(size, device=device) + 0.5) * (coarse_size / size) - 0.5).clamp(min=0)
    lower = position.long().clamp(max=coarse_size - 1)
    fraction = position - lower
    return Taps(picked[lower], picked[(lower + 1).clamp(max=coarse_size - 1)], 1 - fraction, fraction)
