"""Convolution blocks with nnU-Net v2's parameter names (`convs.N.conv`, `convs.N.norm`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from autoseg.networks._blocks.normalization import InstanceNorm
from autoseg.networks._blocks.sound import Conv2d, Conv3d
from autoseg.networks._options import BlockOptions
from autoseg.specs.plan import Topology

LEAKY_SLOPE = 0.01


@dataclass(frozen=True)
class Style:
    """Makers of the layers of a network, chosen once by dimension and options."""

    conv: Callable[..., nn.Module]
    norm: Callable[[int], nn.Module]
    activation: Callable[[], nn.Module]
    dropout: Callable[[], nn.Module] | None
    dropout_between: bool
    max_pool: Callable[..., nn.Module]
    conv_bias: bool

    @classmethod
    def of(cls, options: BlockOptions, topology: Topology) -> Style:
        """Makers for 2D or 3D."""
        flat = topology.dimensions == 2
        norms: dict[str, Callable[..., nn.Module]] = {
            "instance": InstanceNorm,
            "batch": nn.BatchNorm2d if flat else nn.BatchNorm3d,
            "none": nn.Identity,
        }
        activations: dict[str, Callable[[], nn.Module]] = {
            "leaky_relu": partial(nn.LeakyReLU, LEAKY_SLOPE, inplace=True),
            "relu": partial(nn.ReLU, True),
        }
        dropout = nn.Dropout2d if flat else nn.Dropout3d
        return cls(
            conv=Conv2d if flat else Conv3d,
            norm=partial(norms[options.norm], eps=options.norm_eps),
            activation=activations[options.activation],
            dropout=partial(dropout, options.dropout) if options.dropout else None,
            dropout_between=options.dropout_position == "between",
            max_pool=nn.MaxPool2d if flat else nn.MaxPool3d,
            conv_bias=options.conv_bias,
        )


class ConvBlock(nn.Module):
    """Convolution, dropout, norm, activation; or dropout last, and none in the last block of a stage.

    Args:
        style: Layer makers.
        channels_in: Input channels.
        channels_out: Output channels.
        kernel: Odd edge per axis; the padding keeps the size.
        stride: Step per axis.
        bias: Whether the convolution has a bias.
        activated: Whether dropout and activation are part of it.
        last: Whether it is the last block of its stage.
    """

    def __init__(
        self,
        style: Style,
        channels_in: int,
        channels_out: int,
        *,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        bias: bool,
        activated: bool = True,
        last: bool = False,
    ) -> None:
        super().__init__()
        padding = tuple((edge - 1) // 2 for edge in kernel)
        self.conv = style.conv(channels_in, channels_out, kernel, stride, padding, bias=bias)
        drops = activated and not (style.dropout_between and last)
        self.dropout = style.dropout() if style.dropout and drops else None
        self.dropout_last = style.dropout_between
        self.norm = style.norm(channels_out)
        self.nonlin = style.activation() if activated else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, D, *S / stride)."""
        x = self.conv(x)
        if self.dropout is not None and not self.dropout_last:
            x = self.dropout(x)
        x = self.norm(x)
        if self.nonlin is not None:
            x = self.nonlin(x)
        return self.dropout(x) if self.dropout is not None and self.dropout_last else x


class ConvStack(nn.Module):
    """Convolution blocks in a row; the first one changes width and size."""

    def __init__(
        self,
        style: Style,
        channels_in: int,
        channels_out: int,
        *,
        blocks: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        ones = (1,) * len(kernel)
        steps = (stride or ones, *(ones for _ in range(blocks - 1)))
        widths = (channels_in, *(channels_out for _ in range(blocks - 1)))
        self.convs = nn.Sequential(
            *(
                ConvBlock(
                    style,
                    width,
                    channels_out,
                    kernel=kernel,
                    stride=step,
                    bias=style.conv_bias,
                    last=number == blocks - 1,
                )
                for number, (width, step) in enumerate(zip(widths, steps, strict=True))
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, D, *S / stride)."""
        out: Tensor = self.convs(x)
        return out


def initialize(network: nn.Module) -> None:
    """He initialisation of every convolution for leaky ReLU (He et al., ICCV 2015), biases 0."""
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, kinds):
                nn.init.kaiming_normal_(module.weight, a=LEAKY_SLOPE)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
