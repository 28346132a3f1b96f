"""Plain encoder, decoder and the U-Net around them, with nnU-Net v2's parameter names."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.networks._blocks.alignment import LevelAlignment, SharedAlignment, skip_alignment
from autoseg.networks._blocks.convolution import ConvStack, Style, initialize
from autoseg.networks._blocks.preactivated import Activation
from autoseg.networks._blocks.stages import StagedEncoder
from autoseg.networks._blocks.upsampling import interpolation, join, up_conv
from autoseg.networks._context import Context
from autoseg.networks._options import UNetOptions, Upsampling
from autoseg.specs.plan import Topology


class PlainEncoder(StagedEncoder):
    """One stack of convolutions per stage."""

    def __init__(self, style: Style, topology: Topology, channels: int, *, max_pool: bool = False) -> None:
        super().__init__()
        stages = []
        width = channels
        for stage, features in enumerate(topology.features):
            stride = topology.strides[stage]
            pools = max_pool and max(stride) > 1
            stack = ConvStack(
                style,
                width,
                features,
                blocks=topology.encoder_blocks[stage],
                kernel=topology.kernels[stage],
                stride=None if pools else stride,
            )
            # The pool comes first in the stage, as in nnU-Net v2, where the stack then is `stages.N.1`.
            stages.append(nn.Sequential(style.max_pool(stride, stride), stack) if pools else nn.Sequential(stack))
            width = features
        self.stages = nn.Sequential(*stages)


class Decoder(nn.Module):
    """Up-sampling, join with the skip connection, then a stack of blocks, per level; coarsest first.

    Args:
        style: Layer makers.
        topology: Widths, strides, kernels.
        heads: Output channels.
        upsampling: By transposed convolution to the finer width, or by interpolation, which keeps the width.
        stack: Maker of the blocks of a level.
        activated_heads: Norm and activation before each head.
    """

    def __init__(
        self,
        style: Style,
        topology: Topology,
        heads: int,
        *,
        upsampling: Upsampling = "transposed",
        stack: Callable[..., nn.Module] = ConvStack,
        activated_heads: bool = False,
    ) -> None:
        super().__init__()
        ones = (1,) * topology.dimensions
        up, stacks, segmentation, guides = [], [], [], []
        for level, blocks in zip(range(len(topology.features) - 2, -1, -1), topology.decoder_blocks, strict=True):
            below, width, stride = topology.features[level + 1], topology.features[level], topology.strides[level + 1]
            if upsampling == "transposed":
                up.append(up_conv(below, width, stride, bias=style.conv_bias))
            else:
                up.append(interpolation(upsampling, stride))
            guides.append(width if upsampling == "transposed" else below)
            stacks.append(stack(style, guides[-1] + width, width, blocks=blocks, kernel=topology.kernels[level]))
            head = style.conv(width, heads, ones, bias=True)
            segmentation.append(nn.Sequential(Activation(style, width), head) if activated_heads else head)
        self.stages = nn.ModuleList(stacks)
        self.transpconvs = nn.ModuleList(up)
        self.seg_layers = nn.ModuleList(segmentation)
        self.guides = tuple(guides)
        self.alignment: LevelAlignment | SharedAlignment | None = None

    def forward(self, skips: list[Tensor], *, deep_supervision: bool) -> tuple[Tensor, ...]:
        """Logits of every level, or of the finest alone, finest first: (B, H, *S / stride)."""
        x = skips[-1]
        logits: list[Tensor] = []
        finest = len(self.stages) - 1
        for level, skip in enumerate(reversed(skips[:-1])):
            x = self.transpconvs[level](x)
            x = join(x, skip if self.alignment is None else self.alignment(level, skip, x))
            x = self.stages[level](x)
            if deep_supervision or level == finest:
                logits.insert(0, self.seg_layers[level](x).contiguous())
        return tuple(logits)


class UNet(nn.Module):
    """Encoder and decoder.

    Attributes:
        deep_supervision: Return the logits of every decoder level, finest first, as a tuple; else the finest alone.
        context: By what the input is larger than the output; None when they are equal.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, context: Context | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.deep_supervision = False
        self.context = context

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(B, C, *S) -> (B, H, *S), or a tuple of (B, H, *S / stride); with context, of the core of S."""
        size = tuple(x.shape[2:])
        if self.context is not None:
            sides = [side for pair in reversed(self.context.padding(size)) for side in pair]
            x = F.pad(x, sides)
        if x.device.type == "cpu":
            x = x.to(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)
        logits: tuple[Tensor, ...] = self.decoder(self.encoder(x), deep_supervision=self.deep_supervision)
        if self.context is not None:
            whole = (slice(None), slice(None))
            logits = tuple(
                level[(*whole, *self.context.core(size, number))].contiguous() for number, level in enumerate(logits)
            )
        return logits if self.deep_supervision else logits[0]


def unet(options: UNetOptions, topology: Topology, *, encoder: nn.Module, decoder: Decoder) -> UNet:
    """U-Net with the skip connections and the context of its options, and He-initialised weights."""
    if options.skip == "aligned":
        decoder.alignment = skip_alignment(
            options.alignment, topology, guides=decoder.guides, offsets_from=options.offsets_from
        )
    network = UNet(encoder, decoder, context=Context.of(options.context_voxels, topology))
    initialize(network)
    if decoder.alignment is not None:
        decoder.alignment.start()
    return network
