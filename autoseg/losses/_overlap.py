"""True positives, false positives and false negatives, computed once for every overlap loss and for pseudo Dice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[..., Tensor]
"""(logits (B, C, *S), target, mask or None) -> scalar."""


def class_sums(
    probabilities: Tensor, target: Tensor, mask: Tensor | None, *, with_background: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Soft intersection, predicted and reference volume per sample and head.

    Args:
        probabilities: (B, C, *S) float32.
        target: (B, 1, *S) class index, or (B, C, *S) bool for regions.
        mask: (B, 1, *S) bool, True where annotated, or None.
        with_background: Whether head 0 is kept.

    Returns:
        Intersection, sum of probabilities, sum of the reference: each (B, C) float32, without head 0 unless kept.
    """
    first = 0 if with_background else 1
    is_index = not target.dtype.is_floating_point and target.dtype != torch.bool
    axes = tuple(range(1, probabilities.ndim - 1))
    rows = []
    # One class at a time: never a one-hot copy of the target (saves C x 4 bytes per voxel, twice with its gradient).
    for head in range(first, probabilities.shape[1]):
        chosen = probabilities[:, head]  # (B, *S)
        reference = target[:, 0] == head if is_index else target[:, head].bool()
        if mask is not None:
            reference = reference & mask[:, 0]
            chosen = chosen * mask[:, 0]
        rows.append(((chosen * reference).sum(axes), chosen.sum(axes), reference.sum(axes, dtype=torch.float32)))
    intersection, predicted, truth = (torch.stack(parts, 1) for parts in zip(*rows, strict=True))
    return intersection, predicted, truth


def soft_dice(sums: tuple[Tensor, Tensor, Tensor], *, batch_dice: bool, smooth: float) -> Tensor:
    """Mean soft Dice over heads (and samples): (2 I + s) / (P + R + s), Drozdzal et al. 2016 with a linear denominator.

    Args:
        sums: Intersection I, predicted P and reference R volume, (B, C) each.
        batch_dice: Pool the batch into one volume first.
        smooth: Added to both sides, so that an absent class that is not predicted scores 1.

    Returns:
        Scalar in [0, 1].
    """
    intersection, predicted, truth = (part.sum(0) if batch_dice else part for part in sums)
    return ((2 * intersection + smooth) / (truth + predicted + smooth).clamp_min(1e-8)).mean()
