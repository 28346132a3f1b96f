"""Dilation, erosion, opening and closing of a mask by a ball: time grows with the radius, not with its cube."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Operator = Literal["dilate", "erode", "close", "open"]
OPERATORS: tuple[Operator, ...] = ("dilate", "erode", "close", "open")

_FAR = 2**14
"""Beyond any squared distance in half voxels that is asked for, and small enough for int16 sums."""
LARGEST_DIAMETER = 60
"""Squared offsets of a larger ball would not fit."""


def morph(mask: Tensor, operator: Operator, diameter: int) -> Tensor:
    """Apply one operator; what lies beyond the patch neither grows in nor erodes (nnU-Net v2).

    Args:
        mask: (*S) bool, 2D or 3D.
        operator: Which.
        diameter: Of the ball in voxels, 2 to `LARGEST_DIAMETER`; the ball of an even one is centred on a voxel, that of
            an odd one between two, half a voxel towards the array's start.

    Returns:
        A new mask, (*S) bool.
    """
    result = torch.zeros_like(mask)
    box = _box(mask, diameter + 1)
    if box is None:
        return result
    part = mask[box]
    forth, back = 0, diameter % 2
    # The second step of opening and closing uses the reflected ball, without which the mask would wander.
    if operator == "dilate":
        result[box] = _dilate(part, diameter, forth)
    elif operator == "erode":
        result[box] = ~_dilate(~part, diameter, forth)
    elif operator == "open":
        result[box] = _dilate(~_dilate(~part, diameter, forth), diameter, back)
    else:
        result[box] = ~_dilate(~_dilate(part, diameter, forth), diameter, back)
    return result


def _box(mask: Tensor, margin: int) -> tuple[slice, ...] | None:
    """Where the operators can change anything: the mask's box with a margin; None for an empty mask."""
    axes = range(mask.ndim)
    profiles = torch.cat([mask.any(dim=tuple(other for other in axes if other != axis)) for axis in axes])
    # On the host from here on: a GPU is waited for once.
    used = [torch.nonzero(profile).flatten().tolist() for profile in torch.split(profiles.cpu(), list(mask.shape))]
    if not used[0]:
        return None
    spans = zip(used, mask.shape, strict=True)
    return tuple(slice(max(0, places[0] - margin), min(size, places[-1] + 1 + margin)) for places, size in spans)


def _dilate(mask: Tensor, diameter: int, shift: int) -> Tensor:
    """Voxels that have a mask voxel within the ball: squared distances, one axis after the other, in half voxels.

    Source of the separable minimum: Felzenszwalb and Huttenlocher, Theory of Computing 2012; here by trying every
    offset, since there are few.
    """
    distance = torch.where(mask, 0, _FAR).to(torch.int16)
    for axis in range(mask.ndim):
        size = mask.shape[axis]
        nearest = torch.full_like(distance, _FAR)
        for step in range(diameter + 1):
            offset = step - (diameter + 1 - shift) // 2
            cost = (2 * step - diameter) ** 2
            length = size - abs(offset)
            if length <= 0:
                continue
            target = nearest.narrow(axis, max(0, -offset), length)
            source = distance.narrow(axis, max(0, offset), length)
            torch.minimum(target, source + cost, out=target)
        distance = nearest
    return distance <= diameter**2
