"""U-Net with a residual encoder: nnU-Net's ResEnc presets (Isensee et al., MICCAI 2024, nnU-Net Revisited)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from autoseg.networks._cost import Cost, Layer, conv, decoder_layers, sizes, total
from autoseg.networks._options import UNetOptions
from autoseg.specs.plan import Topology

if TYPE_CHECKING:
    from autoseg.networks._blocks.unet import UNet


class Options(UNetOptions):
    """Options of the residual encoder U-Net."""


def build(options: Options, *, topology: Topology, channels: int, heads: int) -> UNet:
    """Network with He-initialised weights; each residual branch starts as zero.

    Args:
        options: Options.
        topology: Depth, widths, strides, kernels; `encoder_blocks` counts residual blocks.
        channels: Input channels.
        heads: Output channels.
    """
    # Imported here so that plans can be made and options validated without torch.
    from autoseg.networks._blocks.convolution import Style
    from autoseg.networks._blocks.residual import ResidualEncoder, zero_residual_branches
    from autoseg.networks._blocks.unet import Decoder, unet

    style = Style.of(options, topology)
    encoder, decoder = ResidualEncoder(style, topology, channels), Decoder(style, topology, heads)
    network = unet(options, topology, encoder=encoder, decoder=decoder)
    zero_residual_branches(network)
    return network


def cost(
    options: Options, *, topology: Topology, patch_size_voxels: tuple[int, ...], channels: int, heads: int
) -> Cost:
    """Cost of one patch; `elements` equals nnU-Net v2's `compute_conv_feature_map_size`.

    That count holds a skip connection that only pools for a convolution; it is kept so that plans agree.
    """
    stage_sizes = sizes(patch_size_voxels, topology, options)
    bias, norm, ones = options.conv_bias, options.norm != "none", (1,) * topology.dimensions

    def layers() -> Iterator[tuple[Layer, bool]]:
        width_in = topology.features[0]
        yield conv(channels, width_in, topology.kernels[0], stage_sizes[0], bias=bias, norm=norm), True
        stages = zip(topology.features, topology.kernels, topology.encoder_blocks, stage_sizes, strict=True)
        for width, kernel, blocks, size in stages:
            for _ in range(blocks):
                yield conv(width_in, width, kernel, size, bias=bias, norm=norm), True
                yield conv(width, width, kernel, size, bias=bias, norm=norm), True
                if width_in != width:
                    yield conv(width_in, width, ones, size, bias=False, norm=norm), True
                width_in = width
        yield from decoder_layers(topology, stage_sizes, heads=heads, options=options)

    return total(layers(), extra_elements=_pooled_skips(topology, stage_sizes))


def _pooled_skips(topology: Topology, stage_sizes: tuple[tuple[int, ...], ...]) -> int:
    """Elements of skip connections that pool without changing the width (stages at the width cap)."""
    widths = (topology.features[0], *topology.features)
    return sum(
        width * math.prod(size)
        for width, before, stride, size in zip(
            topology.features, widths[:-1], topology.strides, stage_sizes, strict=True
        )
        if width == before and max(stride) > 1
    )
