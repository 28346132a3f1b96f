"""Cross-entropies from logits, exact for logits of any size, and their means over annotated voxels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def cross_entropy(logs: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the annotated voxels of -log p of the true class; 0 when there are none.

    Args:
        logs: (B, C, *S), log-softmax.
        target: (B, 1, *S) int64 head index.
        mask: (B, 1, *S) bool or None.
    """
    return masked_mean(-logs.gather(1, target), mask)


def binary_terms(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of each head and voxel, (B, R, *S).

    log(1 + exp(x)) - x where the target is 1: `-log_sigmoid(x)` of the signed logit.

    Args:
        logits: (B, R, *S).
        target: (B, R, *S) bool.
    """
    return -logsigmoid(logits.where(target, -logits))


def masked_mean(terms: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of (B, R, *S) over heads and annotated voxels; 0 when there are none."""
    if mask is None:
        return terms.mean()
    return (terms * mask).sum() / (mask.sum() * terms.shape[1]).clamp_min(1)


def as_regions(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Exclusive classes as one yes-or-no question per foreground class.

    The logit of "class c, not another one" is x_c - logsumexp of the other logits; its sigmoid is the softmax
    probability of c. Nothing cancels, however sure the network is.

    Args:
        logits: (B, C, *S).
        target: (B, 1, *S) int64 head index.

    Returns:
        Logits (B, C - 1, *S) and target (B, C - 1, *S) bool, without the background.
    """
    heads = range(1, logits.shape[1])
    parts = logits.unbind(1)
    # What lies before and behind each head, added up once: half the time of one logsumexp per head.
    before, behind = [parts[0]], [parts[-1]]
    for head in parts[1:-1]:
        before.append(torch.logaddexp(before[-1], head))
    for head in reversed(parts[2:-1]):
        behind.append(torch.logaddexp(behind[-1], head))
    behind.reverse()
    asked = [
        parts[head] - (torch.logaddexp(before[head - 1], behind[head - 1]) if head < len(parts) - 1 else before[-1])
        for head in heads
    ]
    return torch.stack(asked, 1), torch.cat([target == head for head in heads], 1)
