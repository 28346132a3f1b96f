"""One loss on every decoder level (Lee et al., AISTATS 2015), with nnU-Net v2's weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autoseg.core.labels import LabelSpace
from autoseg.losses._overlap import Loss
from autoseg.losses._targets import make_targets


def deep_supervision_weights(levels: int) -> tuple[float, ...]:
    """1/2^i per level, finest first, the coarsest 0, sum 1; a single level has weight 1.

    Args:
        levels: Decoder levels.
    """
    if levels == 1:
        return (1.0,)
    raw = [0.5**level for level in range(levels - 1)]
    return (*(weight / sum(raw) for weight in raw), 0.0)


class DeepSupervision:
    """Weighted sum of a loss over decoder levels; levels of weight 0 cost nothing.

    Args:
        loss: Loss of one level.
        weights: Per level, finest first.
    """

    def __init__(self, loss: Loss, weights: Sequence[float]) -> None:
        self.loss = loss
        self.weights = tuple(weights)

    def __call__(self, outputs: Sequence[Tensor], labels: Tensor, space: LabelSpace) -> Tensor:
        """Scalar loss.

        Args:
            outputs: Logits (B, C, *S / stride) per level, finest first.
            labels: (B, 1, *S) integers, as stored.
            space: What the label values mean.
        """
        total = outputs[0].new_zeros((), dtype=torch.float32)
        for weight, logits in zip(self.weights, outputs, strict=True):
            if weight > 0:
                target, mask = make_targets(downsample_labels(labels, tuple(logits.shape[2:])), space)
                total = total + weight * self.loss(logits, target, mask)
        return total


def downsample_labels(labels: Tensor, size_voxels: tuple[int, ...]) -> Tensor:
    """Nearest label at the centre of each coarse voxel (torch's `nearest-exact`).

    Args:
        labels: (B, 1, *S).
        size_voxels: Size to reach; where it divides S this is a view.

    Returns:
        (B, 1, *size_voxels).
    """
    for axis, edge in enumerate(size_voxels, start=2):
        full = labels.shape[axis]
        if full % edge == 0:
            step = full // edge
            labels = labels[(slice(None),) * axis + (slice(step // 2, None, step),)]
        else:
            index = (2 * torch.arange(edge, device=labels.device) + 1) * full // (2 * edge)
            labels = labels.index_select(axis, index)
    return labels
