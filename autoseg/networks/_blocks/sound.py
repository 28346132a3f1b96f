"""Convolutions that step around two faults of torch's CPU kernels (seen in 2.13); parameters are those of torch's own.

In reduced precision the gradient of the weights of a 3D convolution holds what happened to lie in memory, often NaN,
where the input has fewer slices than the kernel and more than one: with kernels of 3, feature maps of exactly 2 slices.
A convolution of 1x1 voxels with a stride, as on the way around a residual unit, writes beyond its memory in the
backward pass when its input has the channels last, and the process dies.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from autoseg.devices.precision import has_sound_gradient


class Conv2d(nn.Conv2d):
    """2D form."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, D, *S / stride)."""
        if _is_strided_point(self, x):
            return nn.functional.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], self.weight, self.bias)
        return super().forward(x)


class Conv3d(nn.Conv3d):
    """3D form."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, D, *S / stride)."""
        if _is_strided_point(self, x):
            x = x[:, :, :: self.stride[0], :: self.stride[1], :: self.stride[2]]
            return nn.functional.conv3d(x, self.weight, self.bias)
        if _needs_float32(self, x):
            with torch.autocast(x.device.type, enabled=False):
                return super().forward(x.float()).to(torch.get_autocast_dtype(x.device.type))
        return super().forward(x)


def _is_strided_point(layer: _ConvNd, x: Tensor) -> bool:
    """Whether each output voxel is one input voxel, but not the other way round: the others may be left out first."""
    return x.device.type == "cpu" and set(layer.kernel_size) == {1} and max(layer.stride) > 1


def _needs_float32(layer: _ConvNd, x: Tensor) -> bool:
    if x.device.type != "cpu" or not torch.is_grad_enabled() or not torch.is_autocast_enabled("cpu"):
        return False
    return not has_sound_gradient(slices=x.shape[2], kernel=layer.kernel_size[0])
