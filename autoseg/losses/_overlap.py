"""Intersections and volumes, computed once for every overlap loss; hard counts for the pseudo Dice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from autoseg.losses._pooling import Pooling

Loss = Callable[..., Tensor]
"""(logits (B, C, *S), target, mask or None) -> scalar."""

Sums = tuple[Tensor, Tensor, Tensor]
"""Soft intersection I, predicted P and reference R volume: (B, C) each, or what pooling leaves of it."""


def widen(logits: Tensor) -> Tensor:
    """At least float32: sums over 1e6 voxels need it."""
    return logits if logits.dtype == torch.float64 else logits.float()


def to_probabilities(logits: Tensor, target: Tensor) -> Tensor:
    """Softmax over the heads for classes, sigmoid of each head for regions (a bool target); (B, C, *S)."""
    wide = widen(logits)
    return wide.sigmoid() if target.dtype == torch.bool else wide.softmax(1)


def class_sums(probabilities: Tensor, target: Tensor, mask: Tensor | None, *, with_background: bool) -> Sums:
    """Soft intersection, predicted and reference volume per sample and head.

    True positives are the intersection I, false positives P - I, false negatives R - I.

    Args:
        probabilities: (B, C, *S) float32.
        target: (B, 1, *S) int64 head index, or (B, C, *S) bool for regions.
        mask: (B, 1, *S) bool, True where annotated, or None.
        with_background: Whether head 0 is kept.

    Returns:
        I, P, R: each (B, C) float32, without head 0 unless kept.
    """
    axes = tuple(range(1, probabilities.ndim - 1))
    valid = None if mask is None else mask[:, 0]
    rows = []
    # One head at a time, so that no one-hot copy of the target is made; unbind, whose gradient is one stack.
    for head, chosen in enumerate(probabilities.unbind(1)):
        if head == 0 and not with_background:
            continue
        reference = target[:, head] if target.dtype == torch.bool else target[:, 0] == head  # (B, *S)
        if valid is not None:
            reference = reference & valid
            chosen = chosen * valid
        rows.append(((chosen * reference).sum(axes), chosen.sum(axes), reference.sum(axes, dtype=torch.float32)))
    intersection, predicted, truth = (torch.stack(parts, 1) for parts in zip(*rows, strict=True))
    return intersection, predicted, truth


def pool_sums(sums: Sums, *, pooling: Pooling, batch_dice: bool) -> Sums:
    """Add up what is to be seen as one volume.

    Args:
        sums: (B, C) each.
        pooling: What is one volume.
        batch_dice: What `plan` means: the batch (True) or a sample.

    Returns:
        (B, C), (C,) or scalars.
    """
    if pooling == "all":
        intersection, predicted, truth = (part.sum() for part in sums)
    elif pooling == "batch" or (pooling == "plan" and batch_dice):
        intersection, predicted, truth = (part.sum(0) for part in sums)
    else:
        return sums
    return intersection, predicted, truth


def soft_dice(sums: Sums, *, batch_dice: bool = False, smooth: float, factor: float = 2) -> Tensor:
    """Mean over heads (and samples) of (2 I + s) / (P + R + s), the soft Dice that nnU-Net v2 uses.

    Args:
        sums: Intersection I, predicted P and reference R volume, (B, C) each or pooled.
        batch_dice: Pool the batch into one volume first.
        smooth: s, added to both sides: an absent head that is not predicted scores 1.
        factor: Of the intersection.

    Returns:
        Scalar in [0, 1].
    """
    intersection, predicted, truth = (part.sum(0) if batch_dice else part for part in sums)
    return ((factor * intersection + smooth) / (truth + predicted + smooth).clamp_min(1e-8)).mean()


@torch.no_grad()
def online_counts(logits: Tensor, target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Hard counts over a batch, from which the pseudo Dice of an epoch is pooled.

    Args:
        logits: (B, C, *S).
        target: (B, 1, *S) int64 head index, or (B, C, *S) bool for regions.
        mask: (B, 1, *S) bool, True where annotated, or None.

    Returns:
        True positives, false positives, false negatives: each (foreground classes,) or (regions,) int64.
    """
    regions = target.dtype == torch.bool
    found = logits > 0 if regions else logits.argmax(1, keepdim=True)
    counts = []
    for head in range(0 if regions else 1, logits.shape[1]):
        predicted = found[:, head : head + 1] if regions else found == head
        reference = target[:, head : head + 1] if regions else target == head
        if mask is not None:
            predicted, reference = predicted & mask, reference & mask
        hits = (predicted & reference).sum()
        counts.append((hits, predicted.sum() - hits, reference.sum() - hits))
    true_positives, false_positives, false_negatives = (torch.stack(parts) for parts in zip(*counts, strict=True))
    return true_positives, false_positives, false_negatives
