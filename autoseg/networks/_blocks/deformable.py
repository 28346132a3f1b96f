"""Deformable convolution: every kernel tap samples where an offset tells it to.

Source: Dai et al., Deformable Convolutional Networks, ICCV 2017, eq. 2-4 (without the modulation of version 2), here in
2D and 3D: y(p) = sum over taps k of w_k x(p + p_k + d_k(p)) + b, x between voxels by linear interpolation, 0 outside.

Memory grows with the voxels, not with the taps: one tap is sampled at a time, and sampled again in the backward pass.
Sampling is a weighted sum of 4 or 8 rows of a (voxels, channels) table, which is what `embedding_bag` computes. The
same by `grid_sample` rounds its coordinates to [-1, 1]: at zero offsets it misses the plain convolution by 6e-6 of the
largest value, this by 1.5e-7 (2 x 16 x 128x128, float32). It is as fast forwards (0.03 s against 0.04 s on one CPU
thread) and twice as fast with the backward pass (0.09 s against 0.18 s), but keeps every tap's samples until then.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def deformable_conv(x: Tensor, offsets: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Deformable convolution with stride 1 that keeps the size.

    Args:
        x: (B, C, *S).
        offsets: Voxels, (B, taps * axes, *S): per tap, in the order of the kernel, one number per spatial axis.
        weight: (D, C, *kernel), edges odd.
        bias: (D,).

    Returns:
        (B, D, *S), channels innermost in memory.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    y: Tensor = _DeformableConv.apply(  # type: ignore[no-untyped-call]
        x.to(dtype), offsets, weight.to(dtype), bias.to(dtype)
    )
    return y


class DeformableConv2d(nn.Conv2d):
    """`nn.Conv2d` that samples at offsets; the parameters are the same."""

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, *S), (B, taps * 2, *S) -> (B, D, *S)."""
        return deformable_conv(x, offsets, self.weight, _bias(self))


class DeformableConv3d(nn.Conv3d):
    """`nn.Conv3d` that samples at offsets; the parameters are the same."""

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, *S), (B, taps * 3, *S) -> (B, D, *S)."""
        return deformable_conv(x, offsets, self.weight, _bias(self))


def _bias(layer: nn.Conv2d | nn.Conv3d) -> Tensor:
    return layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias


class _DeformableConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, offsets: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, offsets, weight)
        rows = _rows(x)
        # Taps add up in float32 even where each is half precision.
        y = bias.to(_exact(x)).repeat(len(rows), 1)  # (B * S, D)
        for kernel, points in _taps(weight, offsets):
            y += _sample(rows, points.index(), points.weights().to(x.dtype)) @ kernel.T
        return _volume(y.to(x.dtype), x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, offsets, weight = ctx.saved_tensors
        rows, grad_rows = _rows(x), _rows(grad)
        collected = _Collected(x)
        grad_kernels, grad_offsets = [], []
        for kernel, points in _taps(weight, offsets):
            index = points.index()
            grad_kernels.append(grad_rows.T @ _sample(rows, index, points.weights().to(x.dtype)))
            pulled = grad_rows @ kernel  # (B * S, C): gradient of the sampled rows
            collected.add(points, pulled)
            for axis in range(x.ndim - 2):
                slope = points.weights(sloping=axis).to(x.dtype)
                grad_offsets.append((pulled * _sample(rows, index, slope)).sum(1))
        return (
            collected.total().to(x.dtype),
            torch.stack(grad_offsets, 1).view(len(x), *x.shape[2:], -1).movedim(-1, 1).to(offsets.dtype),
            torch.stack(grad_kernels, -1).view_as(weight),
            grad_rows.sum(0),
        )


@dataclass(frozen=True)
class _Axis:
    """The two voxels around every sampling point along one axis.

    Attributes:
        size: Voxels of the axis.
        lower: The voxel before the point, from -2 to `size`, int32, (B * S,).
        weight: Linear interpolation between the two, 0 outside, (B * S, 2).
        slope: Its derivative.
    """

    size: int
    lower: Tensor
    weight: Tensor
    slope: Tensor

    def voxels(self) -> Tensor:
        """Both voxels, (B * S, 2); outside ones, whose weight is 0, at the border."""
        return torch.stack((self.lower, self.lower + 1), 1).clamp(0, self.size - 1)

    def cells(self) -> Tensor:
        """Number of the gap between two voxels, (B * S,), counted from the one before the first voxel."""
        return (self.lower + 1).clamp(0, self.size)


def _axis(offset: Tensor, *, axis: int, shift: int) -> _Axis:
    """Voxels around the points of one tap.

    Args:
        offset: (B, *S), along `axis` of S.
        axis: Spatial axis.
        shift: Place of the tap in the kernel, from its centre.
    """
    size = offset.shape[1 + axis]
    shape = [-1 if position == axis else 1 for position in range(offset.ndim - 1)]
    places = torch.arange(shift, shift + size, device=offset.device, dtype=offset.dtype).view(shape)
    point = (offset + places).clamp(-2, size).reshape(-1)  # beyond, both voxels are outside
    lower = point.floor()
    fraction = point - lower
    first, second = (lower >= 0) & (lower < size), (lower >= -1) & (lower < size - 1)
    return _Axis(
        size=size,
        lower=lower.to(torch.int32),
        weight=torch.stack(((1 - fraction) * first, fraction * second), 1),
        slope=torch.stack((-first.to(point.dtype), second.to(point.dtype)), 1),
    )


@dataclass(frozen=True)
class _Points:
    """Where one tap samples.

    Attributes:
        axes: Per spatial axis.
        samples: Number of each point's image in the batch, int32, (B * S,).
    """

    axes: tuple[_Axis, ...]
    samples: Tensor

    def index(self) -> Tensor:
        """Rows of the 2 ** axes voxels around each point, int32, (B * S, corners)."""
        index = self.samples[:, None]
        for axis in self.axes:
            index = (index[:, :, None] * axis.size + axis.voxels()[:, None]).flatten(1)
        return index

    def weights(self, *, sloping: int | None = None) -> Tensor:
        """Weights of these voxels, or their derivative along one axis, (B * S, corners)."""
        return _products([axis.slope if number == sloping else axis.weight for number, axis in enumerate(self.axes)])


def _taps(weight: Tensor, offsets: Tensor) -> Iterator[tuple[Tensor, _Points]]:
    """Each tap of a (D, C, *kernel) weight: its (D, C), and where it samples."""
    size = offsets.shape[2:]
    samples = torch.arange(len(offsets), device=offsets.device, dtype=torch.int32).repeat_interleave(math.prod(size))
    places = itertools.product(*(range(-(edge // 2), edge // 2 + 1) for edge in weight.shape[2:]))
    parts = torch.split(offsets, weight.ndim - 2, dim=1)
    for shifts, kernel, part in zip(places, weight.flatten(2).unbind(-1), parts, strict=True):
        exact = part.to(_exact(part))
        axes = (_axis(exact[:, axis], axis=axis, shift=shift) for axis, shift in enumerate(shifts))
        yield kernel, _Points(tuple(axes), samples)


class _Collected:
    """Gradient of the image: what is pulled at each point goes to the voxels around it.

    `index_add_` takes as long for 64 numbers as for 16 (155 ns), so that the four voxels of a plane share one row of a
    table of the gaps between voxels, and are told apart at the end; the table is four times the image.
    """

    def __init__(self, x: Tensor) -> None:
        self.shape = (len(x), *x.shape[2:-2], *(size + 1 for size in x.shape[-2:]), 2, 2, x.shape[1])
        rows = math.prod(self.shape[:-3])
        self.table = torch.zeros(rows, 4 * x.shape[1], dtype=_exact(x), device=x.device)

    def add(self, points: _Points, pulled: Tensor) -> None:
        """Add the (B * S, C) gradient of the points' values."""
        *leading, row, column = points.axes
        pulled = pulled.to(self.table.dtype)
        shares = [(points.samples, _products([row.weight, column.weight]))]
        for axis in leading:
            ends = [(axis.voxels()[:, end], axis.weight[:, end, None]) for end in range(2)]
            shares = [(index * axis.size + voxel, four * weight) for index, four in shares for voxel, weight in ends]
        for index, four in shares:
            cells = (index * (row.size + 1) + row.cells()) * (column.size + 1) + column.cells()
            self.table.index_add_(0, cells, (four.to(pulled.dtype)[:, :, None] * pulled[:, None]).flatten(1))

    def total(self) -> Tensor:
        """(B, C, *S)."""
        table = self.table.view(self.shape)  # (B, [Z,] Y + 1, X + 1, 2, 2, C)
        before, after = slice(1, None), slice(None, -1)
        rows = table[..., before, :, 0, :, :] + table[..., after, :, 1, :, :]
        return (rows[..., before, 0, :] + rows[..., after, 1, :]).movedim(-1, 1)


def _products(factors: list[Tensor]) -> Tensor:
    """(N, 2) per axis -> (N, 2 ** axes), the last axis fastest."""
    product = factors[0]
    for factor in factors[1:]:
        product = (product[:, :, None] * factor[:, None]).flatten(1)
    return product


def _sample(rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of rows: (R, C), (N, corners), (N, corners) -> (N, C)."""
    return F.embedding_bag(index, rows, per_sample_weights=weights, mode="sum")


def _rows(x: Tensor) -> Tensor:
    """(B, C, *S) -> (B * S, C), a view of a channels-last tensor."""
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def _volume(rows: Tensor, shape: torch.Size) -> Tensor:
    """Inverse of `_rows` for the batch and size of `shape`."""
    return rows.view(shape[0], *shape[2:], -1).movedim(-1, 1)


def _exact(x: Tensor) -> torch.dtype:
    """Type of coordinates and sums: not less than float32."""
    return torch.promote_types(x.dtype, torch.float32)
