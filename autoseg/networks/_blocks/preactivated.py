"""Pre-activated residual units (He et al., Identity Mappings in Deep Residual Networks, ECCV 2016), their encoder."""

from __future__ import annotations

from torch import Tensor, nn

from autoseg.networks._blocks.convolution import Style
from autoseg.networks._blocks.stages import BlockStack, StagedEncoder, stage_stacks
from autoseg.specs.plan import Topology


class PreactivatedUnit(nn.Module):
    """Norm, activation, convolution, twice, beside the identity.

    Args:
        style: Layer makers.
        channels_in: Input channels.
        channels_out: Output channels.
        kernel: Odd edge per axis.
        stride: Step of the first convolution per axis.
        first: Whether it is the network's first unit, which starts with the convolution: there is nothing to activate.
    """

    def __init__(
        self,
        style: Style,
        channels_in: int,
        channels_out: int,
        *,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        first: bool = False,
    ) -> None:
        super().__init__()
        ones, padding, bias = (1,) * len(kernel), tuple(edge // 2 for edge in kernel), style.conv_bias
        self.start = nn.Identity() if first else Activation(style, channels_in)
        self.conv1 = style.conv(channels_in, channels_out, kernel, stride, padding, bias=bias)
        self.middle = Activation(style, channels_out)
        self.dropout = style.dropout() if style.dropout else None
        self.conv2 = style.conv(channels_out, channels_out, kernel, ones, padding, bias=bias)
        same = channels_in == channels_out and max(stride) == 1
        # Neither paper says how the identity changes width and size: 1x1 with the unit's stride, as He's type B.
        self.skip = None if same else style.conv(channels_in, channels_out, ones, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, D, *S / stride)."""
        branch = self.middle(self.conv1(self.start(x)))
        if self.dropout is not None:
            branch = self.dropout(branch)
        branch = self.conv2(branch)
        out: Tensor = branch + (x if self.skip is None else self.skip(x))
        return out


class Activation(nn.Module):
    """Norm and activation."""

    def __init__(self, style: Style, channels: int) -> None:
        super().__init__()
        self.norm = style.norm(channels)
        self.nonlin = style.activation()
        if isinstance(self.norm, nn.Identity):
            setattr(self.nonlin, "inplace", False)  # noqa: B010 - not every module has it; the input is the skip's too

    def forward(self, x: Tensor) -> Tensor:
        """Shape kept."""
        out: Tensor = self.nonlin(self.norm(x))
        return out


class PreactivatedStack(BlockStack):
    """Units in a row."""

    block = PreactivatedUnit


class PreactivatedEncoder(StagedEncoder):
    """One stack of units per stage; the last one is the bridge."""

    def __init__(self, style: Style, topology: Topology, channels: int) -> None:
        super().__init__()
        self.stages = stage_stacks(PreactivatedStack, style, topology, channels, first=True)
