"""SegNet: encoder and decoder without skip features, up-sampling by max-pooling indices, 2D and 3D.

Source: Badrinarayanan, Kendall and Cipolla, SegNet, TPAMI 2017: convolutions with batch norm and ReLU, 2x2 max-pooling
that remembers where its maxima were, a decoder that puts values back at those places and convolves the sparse map.
Buchwald et al. (Brain Tumor Segmentation on the Basis of a U-Net Architecture) take it to 3D as their smaller model.

What we decided: the stages are the topology's, so that the coarsest one has convolutions of its own and is not pooled
again (the paper un-pools right after its last pooling); blocks of the decoder count the convolutions after the
up-sampling, one more before it changes the width, as indices are per channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from autoseg.networks._context import Context
from autoseg.networks._cost import Cost, Layer, conv, sizes, total
from autoseg.networks._options import BlockOptions
from autoseg.specs.plan import Topology

if TYPE_CHECKING:
    from autoseg.networks._blocks.unet import UNet


class Options(BlockOptions):
    """Options of the SegNet."""

    norm: Literal["instance", "batch", "none"] = "batch"
    """Normalisation after each convolution."""
    activation: Literal["leaky_relu", "relu"] = "relu"
    """Non-linearity; leaky has slope 0.01."""


def build(options: Options, *, topology: Topology, channels: int, heads: int) -> UNet:
    """Network with He-initialised weights.

    Args:
        options: Options.
        topology: Depth, widths, pooling (`strides`), kernels.
        channels: Input channels.
        heads: Output channels.
    """
    # Imported here so that plans can be made and options validated without torch.
    from autoseg.networks._blocks.convolution import Style, initialize
    from autoseg.networks._blocks.indexed import IndexedDecoder, IndexedEncoder
    from autoseg.networks._blocks.unet import UNet

    style = Style.of(options, topology)
    network = UNet(
        IndexedEncoder(style, topology, channels),
        IndexedDecoder(style, topology, heads),
        context=Context.of(options.context_voxels, topology),
    )
    initialize(network)
    return network


def cost(
    options: Options, *, topology: Topology, patch_size_voxels: tuple[int, ...], channels: int, heads: int
) -> Cost:
    """Cost of one patch."""
    stage_sizes = sizes(patch_size_voxels, topology, options)
    bias, norm = options.conv_bias, options.norm != "none"

    def layers() -> Iterator[tuple[Layer, bool]]:
        width_in = channels
        stages = zip(topology.features, topology.kernels, topology.encoder_blocks, stage_sizes, strict=True)
        for width, kernel, blocks, size in stages:
            for _ in range(blocks):
                yield conv(width_in, width, kernel, size, bias=bias, norm=norm), True
                width_in = width
        for level, blocks in zip(range(len(topology.features) - 2, -1, -1), topology.decoder_blocks, strict=True):
            below, width = topology.features[level + 1], topology.features[level]
            yield conv(below, width, topology.kernels[level + 1], stage_sizes[level + 1], bias=bias, norm=norm), True
            for _ in range(blocks):
                yield conv(width, width, topology.kernels[level], stage_sizes[level], bias=bias, norm=norm), True
            yield conv(width, heads, (1,), stage_sizes[level], bias=True, norm=False), level == 0

    return total(layers())
