"""What encoders have in common: blocks in a row, a row per stage, and the features of each stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from autoseg.networks._blocks.convolution import Style
from autoseg.specs.plan import Topology


class BlockStack(nn.Module):
    """Blocks in a row; the first one changes width and size. Subclasses name the `block`.

    Args:
        style: Layer makers.
        channels_in: Input channels.
        channels_out: Output channels.
        blocks: Number of them.
        kernel: Odd edge per axis.
        stride: Step of the first block per axis; None keeps the size.
        first: Further options of the first block.
    """

    block: ClassVar[Callable[..., nn.Module]]

    def __init__(
        self,
        style: Style,
        channels_in: int,
        channels_out: int,
        *,
        blocks: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...] | None = None,
        **first: Any,
    ) -> None:
        super().__init__()
        ones, block = (1,) * len(kernel), type(self).block
        self.blocks = nn.Sequential(
            block(style, channels_in, channels_out, kernel=kernel, stride=stride or ones, **first),
            *(block(style, channels_out, channels_out, kernel=kernel, stride=ones) for _ in range(blocks - 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, D, *S / stride)."""
        out: Tensor = self.blocks(x)
        return out


class StagedEncoder(nn.Module):
    """Stages one after another, each of which is a skip connection."""

    stages: nn.Sequential

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, *S) -> features of each stage, finest first."""
        skips = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        return skips


def stage_stacks(stack: type[BlockStack], style: Style, topology: Topology, width: int, **first: Any) -> nn.Sequential:
    """One stack per stage of a topology.

    Args:
        stack: Of which blocks.
        style: Layer makers.
        topology: Widths, strides, kernels, numbers of blocks.
        width: Channels of the input.
        first: Further options of the very first block.
    """
    widths = (width, *topology.features[:-1])
    return nn.Sequential(
        *(
            stack(
                style,
                widths[stage],
                topology.features[stage],
                blocks=topology.encoder_blocks[stage],
                kernel=topology.kernels[stage],
                stride=topology.strides[stage],
                **(first if stage == 0 else {}),
            )
            for stage in range(len(topology.features))
        )
    )
