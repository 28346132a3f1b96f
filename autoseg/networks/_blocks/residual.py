"""Residual blocks and encoder with nnU-Net v2's parameter names (`blocks.N.conv1`, `.conv2`, `.skip`)."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.networks._blocks.convolution import ConvBlock, ConvStack, Style
from autoseg.networks._blocks.stages import BlockStack, StagedEncoder, stage_stacks
from autoseg.specs.plan import Topology


class ResidualBlock(nn.Module):
    """Two convolutions beside a skip connection that pools and projects where needed.

    This is the block D of He et al., Bag of Tricks for Image Classification, CVPR 2019: average pooling before the
    1x1 projection, so that no voxel is skipped.
    """

    def __init__(
        self, style: Style, channels_in: int, channels_out: int, *, kernel: tuple[int, ...], stride: tuple[int, ...]
    ) -> None:
        super().__init__()
        ones = (1,) * len(kernel)
        bias = style.conv_bias
        self.conv1 = ConvBlock(style, channels_in, channels_out, kernel=kernel, stride=stride, bias=bias)
        self.conv2 = ConvBlock(
            style, channels_out, channels_out, kernel=kernel, stride=ones, bias=bias, activated=False
        )
        self.nonlin2 = style.activation()
        skip: list[nn.Module] = []
        if max(stride) > 1:
            skip.append(_AveragePool(stride))
        if channels_in != channels_out:
            skip.append(
                ConvBlock(style, channels_in, channels_out, kernel=ones, stride=ones, bias=False, activated=False)
            )
        self.skip = nn.Sequential(*skip)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, D, *S / stride)."""
        branch = self.conv2(self.conv1(x))
        branch += self.skip(x)
        out: Tensor = self.nonlin2(branch)
        return out


class _AveragePool(nn.Module):
    """Mean of each block of voxels.

    On a CPU one axis at a time: torch's 3D pooling knows no half precision there, and leaves the channels-last layout.
    (16 channels, 40x56x40, batch 4: 1.7 ms instead of 12.3 ms.)
    """

    def __init__(self, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S / stride)."""
        if x.device.type != "cpu":
            return F.avg_pool2d(x, self.stride) if x.ndim == 4 else F.avg_pool3d(x, self.stride)
        for axis, step in enumerate(self.stride, start=2):
            whole = x.shape[axis] - x.shape[axis] % step
            before = (slice(None),) * axis
            parts = [x[(*before, slice(first, whole, step))] for first in range(step)]
            x = parts[0]
            for part in parts[1:]:
                x = x + part
        return x / math.prod(self.stride)


class ResidualStack(BlockStack):
    """Residual blocks in a row."""

    block = ResidualBlock


class ResidualEncoder(StagedEncoder):
    """A stem convolution, then one residual stack per stage."""

    def __init__(self, style: Style, topology: Topology, channels: int) -> None:
        super().__init__()
        width = topology.features[0]
        self.stem = ConvStack(style, channels, width, blocks=1, kernel=topology.kernels[0])
        self.stages = stage_stacks(ResidualStack, style, topology, width)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, *S) -> features of each stage, finest first."""
        return super().forward(self.stem(x))


def zero_residual_branches(network: nn.Module) -> None:
    """Start every residual block as its skip connection (Goyal et al., 2017): last norm of the branch is 0."""
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            for parameter in module.conv2.norm.parameters():
                nn.init.zeros_(parameter)
