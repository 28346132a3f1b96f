"""Plain encoder, decoder and the U-Net around them, with nnU-Net v2's parameter names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoseg.networks._blocks.convolution import ConvStack, Style
from autoseg.networks._blocks.upsampling import join, up_conv
from autoseg.specs.plan import Topology


class PlainEncoder(nn.Module):
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

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, *S) -> features of each stage, finest first."""
        skips = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        return skips


class Decoder(nn.Module):
    """Up-convolution, joined with the skip connection, then a stack of convolutions, per level; coarsest first."""

    def __init__(self, style: Style, topology: Topology, heads: int) -> None:
        super().__init__()
        ones = (1,) * topology.dimensions
        up, stacks, segmentation = [], [], []
        for level, blocks in zip(range(len(topology.features) - 2, -1, -1), topology.decoder_blocks, strict=True):
            below, width, stride = topology.features[level + 1], topology.features[level], topology.strides[level + 1]
            up.append(up_conv(below, width, stride, bias=style.conv_bias))
            stacks.append(ConvStack(style, 2 * width, width, blocks=blocks, kernel=topology.kernels[level]))
            segmentation.append(style.conv(width, heads, ones, bias=True))
        self.stages = nn.ModuleList(stacks)
        self.transpconvs = nn.ModuleList(up)
        self.seg_layers = nn.ModuleList(segmentation)

    def forward(self, skips: list[Tensor], *, deep_supervision: bool) -> tuple[Tensor, ...]:
        """Logits of every level, or of the finest alone, finest first: (B, H, *S / stride)."""
        x = skips[-1]
        logits: list[Tensor] = []
        finest = len(self.stages) - 1
        for level, skip in enumerate(reversed(skips[:-1])):
            x = join(self.transpconvs[level](x), skip)
            x = self.stages[level](x)
            if deep_supervision or level == finest:
                logits.insert(0, self.seg_layers[level](x).contiguous())
        return tuple(logits)


class UNet(nn.Module):
    """Encoder and decoder.

    Attributes:
        deep_supervision: Return the logits of every decoder level, finest first, as a tuple; else the finest alone.
    """

    def __init__(self, encoder: nn.Module, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.deep_supervision = False

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(B, C, *S) -> (B, H, *S), or a tuple of (B, H, *S / stride)."""
        if x.device.type == "cpu":
            x = x.to(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)
        logits: tuple[Tensor, ...] = self.decoder(self.encoder(x), deep_supervision=self.deep_supervision)
        return logits if self.deep_supervision else logits[0]
