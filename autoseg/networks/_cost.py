"""What a network costs on one patch, counted layer by layer without building it (and without torch)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from autoseg.specs.plan import Topology


@dataclass(frozen=True)
class Cost:
    """Cost of a forward pass of one patch.

    Attributes:
        elements: Total elements of all convolution outputs for batch size 1: the planner's memory proxy.
        parameters: Learnable numbers.
        flops: Two per multiply-add of every convolution, biases and norms left out.
    """

    elements: int
    parameters: int
    flops: int


@dataclass(frozen=True)
class Layer:
    """One convolution, with the norm behind it.

    Attributes:
        channels_in: Input channels.
        channels_out: Output channels.
        taps: Input voxels that enter one output voxel, per channel.
        size_voxels: Spatial size of the output.
        taps_stored: Kernel voxels held as weights; differs from `taps` for transposed convolutions.
        bias: Whether the convolution has a bias.
        norm: Whether an affine norm follows.
    """

    channels_in: int
    channels_out: int
    taps: int
    size_voxels: tuple[int, ...]
    taps_stored: int
    bias: bool
    norm: bool

    @property
    def elements(self) -> int:
        """Elements of the output."""
        return self.channels_out * math.prod(self.size_voxels)

    @property
    def parameters(self) -> int:
        """Weights, bias, scale and shift."""
        per_channel = self.channels_in * self.taps_stored + int(self.bias) + 2 * int(self.norm)
        return self.channels_out * per_channel

    @property
    def flops(self) -> int:
        """Two per multiply-add."""
        return 2 * self.elements * self.channels_in * self.taps


def conv(
    channels_in: int,
    channels_out: int,
    kernel: tuple[int, ...],
    size_voxels: tuple[int, ...],
    *,
    bias: bool,
    norm: bool = True,
) -> Layer:
    """A convolution with output size `size_voxels`."""
    taps = math.prod(kernel)
    return Layer(channels_in, channels_out, taps, size_voxels, taps, bias, norm)


def transposed_conv(
    channels_in: int, channels_out: int, stride: tuple[int, ...], size_voxels: tuple[int, ...], *, bias: bool
) -> Layer:
    """A transposed convolution whose kernel is its stride: each output voxel has one source."""
    return Layer(channels_in, channels_out, 1, size_voxels, math.prod(stride), bias, norm=False)


def sizes(patch_size_voxels: tuple[int, ...], topology: Topology) -> tuple[tuple[int, ...], ...]:
    """Spatial size of each stage, finest first."""
    found = []
    size = patch_size_voxels
    for stride in topology.strides:
        size = tuple(edge // step for edge, step in zip(size, stride, strict=True))
        found.append(size)
    return tuple(found)


def decoder_layers(
    topology: Topology, stage_sizes: tuple[tuple[int, ...], ...], *, heads: int, bias: bool
) -> Iterator[tuple[Layer, bool]]:
    """Layers of the U-Net decoder, coarsest first, each with whether it runs without deep supervision."""
    for level, blocks in zip(range(len(topology.features) - 2, -1, -1), topology.decoder_blocks, strict=True):
        width, size = topology.features[level], stage_sizes[level]
        yield transposed_conv(topology.features[level + 1], width, topology.strides[level + 1], size, bias=bias), True
        for block in range(blocks):
            yield conv(width if block else 2 * width, width, topology.kernels[level], size, bias=bias), True
        yield conv(width, heads, (1,), size, bias=True, norm=False), level == 0


def total(layers: Iterable[tuple[Layer, bool]], *, extra_elements: int = 0) -> Cost:
    """Sum over layers; those that run only for deep supervision count with their parameters alone.

    Args:
        layers: Each with whether it runs without deep supervision.
        extra_elements: Elements of outputs that are no convolution's.
    """
    counted = list(layers)
    running = [layer for layer, runs in counted if runs]
    return Cost(
        elements=extra_elements + sum(layer.elements for layer in running),
        parameters=sum(layer.parameters for layer, _ in counted),
        flops=sum(layer.flops for layer in running),
    )
