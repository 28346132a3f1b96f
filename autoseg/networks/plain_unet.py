"""U-Net of plain convolution blocks: nnU-Net's default network (Isensee et al., Nature Methods 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from autoseg.networks._cost import Cost, Layer, conv, decoder_layers, sizes, total
from autoseg.networks._options import BlockOptions
from autoseg.specs.plan import Topology

if TYPE_CHECKING:
    from autoseg.networks._blocks.unet import UNet


class Options(BlockOptions):
    """Options of the plain U-Net."""

    downsampling: Literal["stride", "max_pool"] = "stride"
    """By the first convolution of a stage, or by pooling before it."""
    upsampling: Literal["transposed"] = "transposed"
    """By a transposed convolution whose kernel is its stride."""


def build(options: Options, *, topology: Topology, channels: int, heads: int) -> UNet:
    """Network with He-initialised weights.

    Args:
        options: Options.
        topology: Depth, widths, strides, kernels.
        channels: Input channels.
        heads: Output channels.
    """
    # Imported here so that plans can be made and options validated without torch.
    from autoseg.networks._blocks.convolution import Style, initialize
    from autoseg.networks._blocks.unet import Decoder, PlainEncoder, UNet

    style = Style.of(options, topology)
    encoder = PlainEncoder(style, topology, channels, max_pool=options.downsampling == "max_pool")
    network = UNet(encoder, Decoder(style, topology, heads))
    initialize(network)
    return network


def cost(
    options: Options, *, topology: Topology, patch_size_voxels: tuple[int, ...], channels: int, heads: int
) -> Cost:
    """Cost of one patch; `elements` equals nnU-Net v2's `compute_conv_feature_map_size`."""
    stage_sizes = sizes(patch_size_voxels, topology)

    def layers() -> Iterator[tuple[Layer, bool]]:
        width_in = channels
        stages = zip(topology.features, topology.kernels, topology.encoder_blocks, stage_sizes, strict=True)
        for width, kernel, blocks, size in stages:
            for _ in range(blocks):
                yield conv(width_in, width, kernel, size, bias=options.conv_bias), True
                width_in = width
        yield from decoder_layers(topology, stage_sizes, heads=heads, bias=options.conv_bias)

    return total(layers())
