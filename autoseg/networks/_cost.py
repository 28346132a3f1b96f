"""What a network costs on one patch, counted layer by layer without building it (and without torch)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from autoseg.networks._context import Context
from autoseg.networks._options import BlockOptions, UNetOptions, Upsampling
from autoseg.specs.plan import Topology

SMALL_ELEMENTS = 20_480
"""Channels times the first two edges up to which torch unfolds a float32 input on a CPU (`use_mkldnn` in ATen)."""
SHARED_CHANNELS = 64
"""Width of an alignment that all levels share (our choice; levels differ in width)."""
GATHERED = 12
"""Elements per neighbour of a sampled point: its number (8 bytes), weight and masks, measured in 2D."""


@dataclass(frozen=True)
class Cost:
    """Cost of a forward pass of one patch.

    Attributes:
        elements: Total elements of all convolution outputs for batch size 1: the planner's memory proxy.
        parameters: Learnable numbers.
        flops: Two per multiply-add of every convolution, biases and norms left out.
        span: Largest sum of one convolution's input and output elements, for batch size 1: what prediction's memory
            is reckoned from.
        unfolded: Elements that torch copies on a CPU for the largest of the convolutions that are too small for its
            fast ones, in float32 and for batch size 1.
    """

    elements: int
    parameters: int
    flops: int
    span: int
    unfolded: int


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
        stored: Whether its weights are its own; False where they are another layer's.
        beside: Further elements per output voxel that are held meanwhile: the input of a block that is added to its
            output, or the neighbours that a deformable convolution gathers.
    """

    channels_in: int
    channels_out: int
    taps: int
    size_voxels: tuple[int, ...]
    taps_stored: int
    bias: bool
    norm: bool
    stored: bool = True
    beside: int = 0

    @property
    def span(self) -> int:
        """Elements of input and output, and of what is held beside them, at the output's size."""
        return (self.channels_in + self.channels_out + self.beside) * math.prod(self.size_voxels)

    @property
    def unfolded(self) -> int:
        """Elements of an unfolded input; 0 where torch has a better way."""
        small = self.taps > 1 and self.channels_in * math.prod(self.size_voxels[:2]) <= SMALL_ELEMENTS
        return self.channels_in * self.taps * math.prod(self.size_voxels) if small else 0

    @property
    def elements(self) -> int:
        """Elements of the output."""
        return self.channels_out * math.prod(self.size_voxels)

    @property
    def parameters(self) -> int:
        """Weights, bias, scale and shift."""
        per_channel = self.channels_in * self.taps_stored + int(self.bias) + 2 * int(self.norm)
        return self.channels_out * per_channel * int(self.stored)

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


def sizes(patch_size_voxels: tuple[int, ...], topology: Topology, options: BlockOptions) -> tuple[tuple[int, ...], ...]:
    """Spatial size of each stage, finest first, for an output patch: its context counts."""
    context = Context.of(options.context_voxels, topology)
    found = []
    size = patch_size_voxels if context is None else context.padded(patch_size_voxels)
    for stride in topology.strides:
        size = tuple(edge // step for edge, step in zip(size, stride, strict=True))
        found.append(size)
    return tuple(found)


def decoder_layers(
    topology: Topology,
    stage_sizes: tuple[tuple[int, ...], ...],
    *,
    heads: int,
    options: UNetOptions,
    upsampling: Upsampling = "transposed",
) -> Iterator[tuple[Layer, bool]]:
    """Layers of the U-Net decoder, coarsest first, each with whether it runs without deep supervision."""
    bias, norm = options.conv_bias, options.norm != "none"
    guides = []
    for level, blocks in zip(range(len(topology.features) - 2, -1, -1), topology.decoder_blocks, strict=True):
        below, width, size = topology.features[level + 1], topology.features[level], stage_sizes[level]
        guides.append(width if upsampling == "transposed" else below)
        if upsampling == "transposed":
            yield transposed_conv(below, width, topology.strides[level + 1], size, bias=bias), True
        for block in range(blocks):
            width_in = width if block else guides[-1] + width
            yield conv(width_in, width, topology.kernels[level], size, bias=bias, norm=norm), True
        yield conv(width, heads, (1,), size, bias=True, norm=False), level == 0
    for layer in alignment_layers(topology, stage_sizes, guides=tuple(guides), options=options):
        yield layer, True


def alignment_layers(
    topology: Topology, stage_sizes: tuple[tuple[int, ...], ...], *, guides: tuple[int, ...], options: UNetOptions
) -> Iterator[Layer]:
    """Layers of aligned skip connections; a deformable convolution costs what a plain one does.

    Args:
        topology: Widths and kernels.
        stage_sizes: Of `sizes`.
        guides: Channels of the up-sampled decoder features per level, coarsest first.
        options: Of the network.
    """
    if options.skip == "plain":
        return
    both, shared = options.offsets_from == "both", options.alignment == "shared"
    for number, guide in enumerate(guides):
        level = len(guides) - 1 - number
        width, size = topology.features[level], stage_sizes[level]
        kernel = (3,) * topology.dimensions if shared else topology.kernels[level]
        inner, beside = (SHARED_CHANNELS, SHARED_CHANNELS) if shared else (width, guide)
        if shared:
            yield conv(width, inner, (1,), size, bias=True, norm=False)
            yield conv(inner, width, (1,), size, bias=True, norm=False)
        if shared and both:
            yield conv(guide, inner, (1,), size, bias=True, norm=False)
        offsets = conv(inner + both * beside, math.prod(kernel) * len(kernel), kernel, size, bias=True, norm=False)
        aligned = conv(inner, inner, kernel, size, bias=True, norm=False)
        gathered = GATHERED * 2 ** len(kernel)
        for layer in (offsets, replace(aligned, beside=gathered)):
            yield replace(layer, stored=not (shared and number))


def total(layers: Iterable[tuple[Layer, bool]], *, extra_elements: int = 0, extra_parameters: int = 0) -> Cost:
    """Sum over layers; those that run only for deep supervision count with their parameters alone.

    Args:
        layers: Each with whether it runs without deep supervision.
        extra_elements: Elements of outputs that are no convolution's.
        extra_parameters: Learnable numbers of norms that follow no convolution.
    """
    counted = list(layers)
    running = [layer for layer, runs in counted if runs]
    return Cost(
        elements=extra_elements + sum(layer.elements for layer in running),
        parameters=extra_parameters + sum(layer.parameters for layer, _ in counted),
        flops=sum(layer.flops for layer in running),
        span=max((layer.span for layer in running), default=0),
        unfolded=max((layer.unfolded for layer in running), default=0),
    )
