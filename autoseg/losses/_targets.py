"""What a loss compares with: class indices or regions, and where the annotation is valid."""

from __future__ import annotations

import torch
from torch import Tensor

from autoseg.core.labels import LabelSpace


def make_targets(labels: Tensor, space: LabelSpace) -> tuple[Tensor, Tensor | None]:
    """Turn stored labels into the target of a loss.

    Args:
        labels: (B, 1, *S) integers as in the data set; -1 (outside the image's non-zero part) counts as background.
        space: What the values mean.

    Returns:
        Target, (B, 1, *S) int64 head index for classes or (B, R, *S) bool for regions; and the mask, (B, 1, *S) bool,
        True where annotated, or None when the data set has no ignore label. Unannotated voxels are background in the
        target.
    """
    mask = None if space.ignore is None else labels != space.ignore
    if space.is_regions:
        regions = [_is_any(labels, values) for values in space.values]
        return torch.cat(regions, 1), mask
    if space.values == tuple((head,) for head in range(1, space.heads)):
        # Labels are head indices already, up to the codes for outside and ignore.
        target = labels.long().clamp_min(0)
        return (target if mask is None else target * mask), mask
    target = torch.zeros_like(labels, dtype=torch.int64)
    for head, (value,) in enumerate(space.values, start=1):
        target.masked_fill_(labels == value, head)
    return target, mask


def _is_any(labels: Tensor, values: tuple[int, ...]) -> Tensor:
    found = labels == values[0]
    for value in values[1:]:
        found |= labels == value
    return found
