"""U-Net of plain convolution blocks: nnU-Net's default network (Isensee et al., Nature Methods 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from autoseg.networks._cost import Cost, Layer, conv, decoder_layers, sizes, total
from autoseg.networks._options import UNetOptions, Upsampling
from autoseg.specs.plan import Topology

if TYPE_CHECKING:
    from autoseg.networks._blocks.unet import UNet


class Options(UNetOptions):
    """Options of the plain U-Net."""

    downsampling: Literal["stride", "max_pool"] = "stride"
    """By the first convolution of a stage, or by pooling before it."""
    upsampling: Upsampling = "transposed"
    """By a transposed convolution whose kernel is its stride, or by interpolation."""
    bottleneck_convolutions: int | None = Field(default=None, ge=1)
    """Convolutions of the coarsest stage; None takes the topology's."""


def build(options: Options, *, topology: Topology, channels: int, heads: int) -> UNet:
    """Network with He-initialised weights.

    Args:
        options: Options.
        topology: Depth, widths, strides, kernels.
        channels: Input channels.
        heads: Output channels.
    """
    # Imported here so that plans can be made and options validated without torch.
    from autoseg.networks._blocks.convolution import Style
    from autoseg.networks._blocks.unet import Decoder, PlainEncoder, unet

    topology = _with_bottleneck(topology, options)
    style = Style.of(options, topology)
    encoder = PlainEncoder(style, topology, channels, max_pool=options.downsampling == "max_pool")
    decoder = Decoder(style, topology, heads, upsampling=options.upsampling)
    return unet(options, topology, encoder=encoder, decoder=decoder)


def cost(
    options: Options, *, topology: Topology, patch_size_voxels: tuple[int, ...], channels: int, heads: int
) -> Cost:
    """Cost of one patch; `elements` equals nnU-Net v2's `compute_conv_feature_map_size`."""
    topology = _with_bottleneck(topology, options)
    stage_sizes, norm = sizes(patch_size_voxels, topology, options), options.norm != "none"

    def layers() -> Iterator[tuple[Layer, bool]]:
        width_in = channels
        stages = zip(topology.features, topology.kernels, topology.encoder_blocks, stage_sizes, strict=True)
        for width, kernel, blocks, size in stages:
            for _ in range(blocks):
                yield conv(width_in, width, kernel, size, bias=options.conv_bias, norm=norm), True
                width_in = width
        yield from decoder_layers(topology, stage_sizes, heads=heads, options=options, upsampling=options.upsampling)

    return total(layers())


def _with_bottleneck(topology: Topology, options: Options) -> Topology:
    """The topology with the convolutions of the coarsest stage that the options ask for."""
    if options.bottleneck_convolutions is None:
        return topology
    return topology.model_copy(
        update={"encoder_blocks": (*topology.encoder_blocks[:-1], options.bottleneck_convolutions)}
    )
