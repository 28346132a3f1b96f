"""Encoder and decoder that share pooling indices instead of features."""

from __future__ import annotations

from torch import Tensor, nn

from autoseg.networks._blocks.convolution import ConvStack, Style
from autoseg.networks._blocks.pooling import max_pool, max_unpool
from autoseg.specs.plan import Topology


class IndexedEncoder(nn.Module):
    """A stack of convolutions per stage, max-pooling between them."""

    def __init__(self, style: Style, topology: Topology, channels: int) -> None:
        super().__init__()
        widths = (channels, *topology.features[:-1])
        self.strides = topology.strides
        self.stages = nn.ModuleList(
            ConvStack(style, widths[stage], width, blocks=blocks, kernel=topology.kernels[stage])
            for stage, (width, blocks) in enumerate(zip(topology.features, topology.encoder_blocks, strict=True))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B, C, *S) -> features of the coarsest stage, and the indices of each pooling, finest first."""
        places = []
        for stage, (stack, stride) in enumerate(zip(self.stages, self.strides, strict=True)):
            if stage:
                x, which = max_pool(x, stride)
                places.append(which)
            x = stack(x)
        return x, tuple(places)


class IndexedDecoder(nn.Module):
    """Convolution to the finer width, up-sampling by indices, then a stack of convolutions, per level; coarsest first.

    Indices are per channel, so that the width changes before the up-sampling.
    """

    def __init__(self, style: Style, topology: Topology, heads: int) -> None:
        super().__init__()
        ones = (1,) * topology.dimensions
        levels = range(len(topology.features) - 2, -1, -1)
        widths = topology.features
        self.strides = topology.strides[:0:-1]
        self.narrow = nn.ModuleList(
            ConvStack(style, widths[level + 1], widths[level], blocks=1, kernel=topology.kernels[level + 1])
            for level in levels
        )
        self.stages = nn.ModuleList(
            ConvStack(style, widths[level], widths[level], blocks=blocks, kernel=topology.kernels[level])
            for level, blocks in zip(levels, topology.decoder_blocks, strict=True)
        )
        self.seg_layers = nn.ModuleList(style.conv(widths[level], heads, ones, bias=True) for level in levels)

    def forward(self, encoded: tuple[Tensor, tuple[Tensor, ...]], *, deep_supervision: bool) -> tuple[Tensor, ...]:
        """Logits of every level, or of the finest alone, finest first: (B, H, *S / stride)."""
        x, places = encoded
        logits: list[Tensor] = []
        for level, (which, stride) in enumerate(zip(reversed(places), self.strides, strict=True)):
            x = self.stages[level](max_unpool(self.narrow[level](x), which, stride))
            if deep_supervision or level == len(places) - 1:
                logits.insert(0, self.seg_layers[level](x).contiguous())
        return tuple(logits)
