"""Fold neighbouring voxels into channels and back."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def fold(x: Tensor, steps: tuple[int, ...]) -> Tensor:
    """(B, C, *S) -> (B, C * prod(steps), *S / steps)."""
    batch, channels = x.shape[:2]
    split = [size for edge, step in zip(x.shape[2:], steps, strict=True) for size in (edge // step, step)]
    grid, inner = range(2, 2 + len(split), 2), range(3, 3 + len(split), 2)
    x = x.reshape(batch, channels, *split).permute(0, 1, *inner, *grid)
    return x.reshape(batch, channels * math.prod(steps), *x.shape[2 + len(steps) :])


def unfold(x: Tensor, steps: tuple[int, ...]) -> Tensor:
    """Inverse of `fold`."""
    batch, size = x.shape[0], x.shape[2:]
    channels = x.shape[1] // math.prod(steps)
    order = [axis for index in range(len(steps)) for axis in (2 + len(steps) + index, 2 + index)]
    x = x.reshape(batch, channels, *steps, *size).permute(0, 1, *order)
    return x.reshape(batch, channels, *(edge * step for edge, step in zip(size, steps, strict=True)))


class Folded(nn.Module):
    """A network between `fold` and `unfold`.

    Attributes:
        network: The inner network.
    """

    def __init__(self, network: nn.Module, steps: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.steps = steps

    @property
    def deep_supervision(self) -> bool:
        """Return the logits of every decoder level, each unfolded once, instead of the finest alone."""
        return bool(self.network.deep_supervision)

    @deep_supervision.setter
    def deep_supervision(self, value: bool) -> None:
        self.network.deep_supervision = value  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(B, C, *S) -> logits (B, heads, *S), or a tuple of them, finest first."""
        outputs = self.network(fold(x, self.steps))
        if isinstance(outputs, torch.Tensor):
            return unfold(outputs, self.steps)
        return tuple(unfold(logits, self.steps) for logits in outputs)
