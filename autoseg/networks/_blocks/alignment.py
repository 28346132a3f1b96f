"""Skip connections that align the encoder's features before they are joined with the decoder's.

Source: Ming and Xiao, Gradient-Optimized Dice Loss (lateral feature alignment module, LFAM): a deformable convolution
on each skip connection, independent per level (its best) or one shared kernel (its ablation). The paper leaves open
what the offsets are computed from and how the layers start. Our decision: offsets by a convolution of the encoder's
features, starting at zero; kernels start as the identity, so that training starts at the U-Net without alignment; the
shared kernel has 64 channels, between 1x1 projections that start as transposes of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor, nn

from autoseg.networks._blocks.deformable import DeformableConv2d, DeformableConv3d
from autoseg.networks._blocks.sound import Conv2d, Conv3d
from autoseg.networks._blocks.upsampling import join
from autoseg.networks._cost import SHARED_CHANNELS
from autoseg.specs.plan import Topology

OffsetsFrom = Literal["encoder", "both"]


class AlignedLayer(nn.Module):
    """Deformable convolution that keeps the width, with the convolution that computes its offsets.

    Args:
        channels: Of what is aligned.
        guide: Channels of the decoder's features that the offsets are computed from too; 0 for none.
        kernel: Odd edge per axis.
    """

    def __init__(self, channels: int, *, guide: int, kernel: tuple[int, ...]) -> None:
        super().__init__()
        axes, taps = len(kernel), int(torch.Size(kernel).numel())
        padding = tuple(edge // 2 for edge in kernel)
        plain: Callable[..., nn.Module] = Conv2d if axes == 2 else Conv3d
        deformable: Callable[..., nn.Module] = DeformableConv2d if axes == 2 else DeformableConv3d
        self.offsets = plain(channels + guide, taps * axes, kernel, padding=padding)
        self.conv = deformable(channels, channels, kernel, padding=padding)
        self.guided = guide > 0

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        """(B, C, *S), (B, guide, *S) -> (B, C, *S)."""
        aligned: Tensor = self.conv(skip, self.offsets(join(x, skip) if self.guided else skip))
        return aligned

    def start(self) -> None:
        """Sample where the plain convolution does, and change nothing."""
        for parameter in self.offsets.parameters():
            nn.init.zeros_(parameter)
        nn.init.dirac_(cast(Tensor, self.conv.weight))
        nn.init.zeros_(cast(Tensor, self.conv.bias))


class LevelAlignment(nn.Module):
    """A layer of its own for each level."""

    def __init__(self, topology: Topology, *, guides: tuple[int, ...], offsets_from: OffsetsFrom) -> None:
        super().__init__()
        levels = range(len(topology.features) - 2, -1, -1)
        self.levels = nn.ModuleList(
            AlignedLayer(
                topology.features[level], guide=guide if offsets_from == "both" else 0, kernel=topology.kernels[level]
            )
            for level, guide in zip(levels, guides, strict=True)
        )

    def forward(self, level: int, skip: Tensor, x: Tensor) -> Tensor:
        """(B, C, *S), (B, D, *S) -> (B, C, *S)."""
        aligned: Tensor = self.levels[level](skip, x)
        return aligned

    def start(self) -> None:
        """Initial weights."""
        for layer in self.levels:
            cast(AlignedLayer, layer).start()


class SharedAlignment(nn.Module):
    """One layer for all levels, between projections to its width and back."""

    def __init__(self, topology: Topology, *, guides: tuple[int, ...], offsets_from: OffsetsFrom) -> None:
        super().__init__()
        axes, both = topology.dimensions, offsets_from == "both"
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        widths = topology.features[-2::-1]
        self.enter = nn.ModuleList(conv(width, SHARED_CHANNELS, 1) for width in widths)
        self.leave = nn.ModuleList(conv(SHARED_CHANNELS, width, 1) for width in widths)
        self.guides = nn.ModuleList(conv(guide, SHARED_CHANNELS, 1) for guide in guides) if both else None
        self.shared = AlignedLayer(SHARED_CHANNELS, guide=SHARED_CHANNELS if both else 0, kernel=(3,) * axes)

    def forward(self, level: int, skip: Tensor, x: Tensor) -> Tensor:
        """(B, C, *S), (B, D, *S) -> (B, C, *S)."""
        guide = x if self.guides is None else self.guides[level](x)
        aligned: Tensor = self.leave[level](self.shared(self.enter[level](skip), guide))
        return aligned

    def start(self) -> None:
        """Initial weights: levels of up to 64 channels pass unchanged, of wider ones a part of 64 dimensions."""
        self.shared.start()
        for enter, leave in zip(self.enter, self.leave, strict=True):
            weight = cast(Tensor, enter.weight)
            nn.init.orthogonal_(weight)
            with torch.no_grad():
                cast(Tensor, leave.weight).copy_(weight.transpose(0, 1))


def skip_alignment(
    kind: Literal["per_level", "shared"], topology: Topology, *, guides: tuple[int, ...], offsets_from: OffsetsFrom
) -> LevelAlignment | SharedAlignment:
    """Alignment of all skip connections.

    Args:
        kind: A layer per level, or one.
        topology: Widths and kernels.
        guides: Channels of the up-sampled decoder features per level, coarsest first.
        offsets_from: What offsets are computed from.
    """
    maker = LevelAlignment if kind == "per_level" else SharedAlignment
    return maker(topology, guides=guides, offsets_from=offsets_from)
