"""Deep residual U-Net (Zhang, Liu and Wang, Road Extraction by Deep Residual U-Net, IEEE GRSL 2018), 2D and 3D.

The paper: three encoder units, a bridge and three decoder units of pre-activated residual units (norm, ReLU,
convolution, twice, beside the identity), the first one starting with a plain convolution; convolutions of stride 2
instead of pooling; before each decoder unit, up-sampling and concatenation with the encoder's output of that level;
1x1 convolution and sigmoid. Widths 64, 128, 256, 512 come from the topology here, whose coarsest stage is the bridge.

What we decided: up-sampling takes the nearest voxel; where the width or the size changes, the identity is a strided
1x1 convolution; the sigmoid, or the softmax, is the loss's; blocks of the topology are residual units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from autoseg.networks._cost import Cost, Layer, alignment_layers, conv, sizes, total, transposed_conv
from autoseg.networks._options import UNetOptions, Upsampling
from autoseg.specs.plan import Topology

if TYPE_CHECKING:
    from autoseg.networks._blocks.unet import UNet


class Options(UNetOptions):
    """Options of the deep residual U-Net; dropout, if any, lies before the second convolution of each unit."""

    norm: Literal["instance", "batch", "none"] = "batch"
    """Normalisation before each convolution."""
    activation: Literal["leaky_relu", "relu"] = "relu"
    """Non-linearity; leaky has slope 0.01."""
    upsampling: Upsampling = "nearest"
    """By interpolation, or by a transposed convolution whose kernel is its stride."""
    head: Literal["direct", "activated"] = "direct"
    """1x1 convolution on the last unit's sum, as in the paper, or norm and activation before it."""


def build(options: Options, *, topology: Topology, channels: int, heads: int) -> UNet:
    """Network with He-initialised weights.

    Args:
        options: Options.
        topology: Depth, widths, strides, kernels; blocks count residual units.
        channels: Input channels.
        heads: Output channels.
    """
    # Imported here so that plans can be made and options validated without torch.
    from autoseg.networks._blocks.convolution import Style
    from autoseg.networks._blocks.preactivated import PreactivatedEncoder, PreactivatedStack
    from autoseg.networks._blocks.unet import Decoder, unet

    style = Style.of(options, topology)
    decoder = Decoder(
        style,
        topology,
        heads,
        upsampling=options.upsampling,
        stack=PreactivatedStack,
        activated_heads=options.head == "activated",
    )
    return unet(options, topology, encoder=PreactivatedEncoder(style, topology, channels), decoder=decoder)


def cost(
    options: Options, *, topology: Topology, patch_size_voxels: tuple[int, ...], channels: int, heads: int
) -> Cost:
    """Cost of one patch."""
    stage_sizes = sizes(patch_size_voxels, topology, options)
    normed: list[int] = []

    def layers() -> Iterator[tuple[Layer, bool]]:
        width_in, features = channels, topology.features
        for stage, (width, blocks) in enumerate(zip(features, topology.encoder_blocks, strict=True)):
            for block in range(blocks):
                first = stage == block == 0
                normed.extend((width,) if first else (width_in, width))
                changes = width_in != width or (block == 0 and max(topology.strides[stage]) > 1)
                yield from _unit(options, width_in, width, topology.kernels[stage], stage_sizes[stage], changes)
                width_in = width
        guides = []
        for level, blocks in zip(range(len(features) - 2, -1, -1), topology.decoder_blocks, strict=True):
            below, width, size = features[level + 1], features[level], stage_sizes[level]
            if options.upsampling == "transposed":
                yield transposed_conv(below, width, topology.strides[level + 1], size, bias=options.conv_bias), True
            guides.append(width if options.upsampling == "transposed" else below)
            width_in = guides[-1] + width
            for _ in range(blocks):
                normed.extend((width_in, width))
                yield from _unit(options, width_in, width, topology.kernels[level], size, width_in != width)
                width_in = width
            if options.head == "activated":
                normed.append(width)
            yield conv(width, heads, (1,), size, bias=True, norm=False), level == 0
        for layer in alignment_layers(topology, stage_sizes, guides=tuple(guides), options=options):
            yield layer, True

    counted = list(layers())
    return total(counted, extra_parameters=0 if options.norm == "none" else 2 * sum(normed))


def _unit(
    options: Options, width_in: int, width: int, kernel: tuple[int, ...], size: tuple[int, ...], changes: bool
) -> Iterator[tuple[Layer, bool]]:
    """Convolutions of one residual unit; `changes`: whether its identity is a convolution."""
    bias = options.conv_bias
    # The unit's input waits beside its norm, which is the convolution's input.
    yield replace(conv(width_in, width, kernel, size, bias=bias, norm=False), beside=width), True
    yield conv(width, width, kernel, size, bias=bias, norm=False), True
    if changes:
        yield conv(width_in, width, (1,), size, bias=bias, norm=False), True
