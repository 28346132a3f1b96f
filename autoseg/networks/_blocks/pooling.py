"""Max-pooling that remembers where each maximum was, and its inverse, in 2D and 3D, any precision and layout.

Source: Badrinarayanan, Kendall and Cipolla, SegNet, TPAMI 2017, section 3. One byte per block says which of its voxels
was the largest; torch's own pair keeps 8-byte indices into the whole volume.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def max_pool(x: Tensor, stride: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Largest voxel of each block, and which one it was, the first of equals.

    Args:
        x: (B, C, *S), S divisible by `stride`.
        stride: Edge of a block per axis.

    Returns:
        (B, C, *S / stride), and the number of the voxel within its block, uint8, of the same shape.
    """
    largest, which = _Pool.apply(x, stride)  # type: ignore[no-untyped-call]
    return largest, which


def max_unpool(x: Tensor, which: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Each voxel at the place in its block that `max_pool` noted, zeros elsewhere.

    Args:
        x: (B, C, *S).
        which: Of `max_pool`, (B, C, *S).
        stride: Edge of a block per axis.

    Returns:
        (B, C, *S * stride), laid out as `x`.
    """
    spread: Tensor = _Unpool.apply(x, which, stride)  # type: ignore[no-untyped-call]
    return spread


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        largest, *others = (x[place] for place in _places(stride))
        which = torch.zeros_like(largest, dtype=torch.uint8)
        for number, block in enumerate(others, start=1):
            which = torch.where(block > largest, number, which)
            largest = torch.maximum(largest, block)
        ctx.save_for_backward(which)
        ctx.stride = stride
        ctx.mark_non_differentiable(which)
        return largest, which

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None]:
        (which,) = ctx.saved_tensors
        return _spread(grad, which, ctx.stride), None


class _Unpool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, which: Tensor, stride: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(which)
        ctx.stride = stride
        return _spread(x, which, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (which,) = ctx.saved_tensors
        collected = torch.zeros_like(which, dtype=grad.dtype)
        for number, place in enumerate(_places(ctx.stride)):
            collected = torch.where(which == number, grad[place], collected)
        return collected, None, None


def _spread(x: Tensor, which: Tensor, stride: tuple[int, ...]) -> Tensor:
    size = [edge * step for edge, step in zip(x.shape[2:], stride, strict=True)]
    last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    layout = last if x.is_contiguous(memory_format=last) else torch.contiguous_format
    spread = torch.empty((*x.shape[:2], *size), dtype=x.dtype, device=x.device, memory_format=layout)
    for number, place in enumerate(_places(stride)):
        spread[place] = torch.where(which == number, x, 0)
    return spread


def _places(stride: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """The strided view of each voxel of a block."""
    whole = (slice(None), slice(None))
    return [
        (*whole, *(slice(first, None, step) for first, step in zip(firsts, stride, strict=True)))
        for firsts in itertools.product(*(range(step) for step in stride))
    ]
