"""Layers written for speed equal torch's own, values and gradients."""

import pytest
import torch
from torch.nn import functional as F

from autoseg.networks._blocks.normalization import InstanceNorm
from autoseg.networks._blocks.residual import _AveragePool
from autoseg.networks._blocks.upsampling import join, up_conv

SIZES = [(4, 6), (3, 4, 5)]


def image(channels: int, size: tuple[int, ...], *, last: bool = True) -> torch.Tensor:
    layout = (torch.channels_last if len(size) == 2 else torch.channels_last_3d) if last else torch.contiguous_format
    torch.manual_seed(0)
    return torch.randn(2, channels, *size, dtype=torch.float64).to(memory_format=layout).requires_grad_()


def gradients(output: torch.Tensor, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    # Not `randn_like`, which fills in the order of memory.
    return torch.autograd.grad((output * torch.randn(output.shape, dtype=output.dtype)).sum(), inputs)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("last", [True, False])
def test_instance_norm(size: tuple[int, ...], last: bool) -> None:
    x = image(3, size, last=last)
    layer = InstanceNorm(3, eps=1e-5).double()
    torch.nn.init.uniform_(layer.weight)
    torch.nn.init.uniform_(layer.bias)
    found, expected = layer(x), F.instance_norm(x, weight=layer.weight, bias=layer.bias)
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous() is not last
    leaves = (x, layer.weight, layer.bias)
    for ours, theirs in zip(gradients(found, *leaves), gradients(expected, *leaves), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_instance_norm_is_accurate_far_from_zero() -> None:
    # A group norm would be faster still, but it subtracts squares: 12 % off where the mean is 100 deviations away.
    x = (torch.randn(1, 4, 20, 28, 20) + 100).to(memory_format=torch.channels_last_3d)
    expected = F.instance_norm(x.double())
    assert (InstanceNorm(4, eps=1e-5)(x) - expected).abs().max() < 5e-3


@pytest.mark.parametrize("stride", [(2, 2), (1, 2), (2, 2, 2), (1, 2, 2), (2, 1, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_up_convolution(stride: tuple[int, ...], bias: bool) -> None:
    x = image(6, (3, 4, 5)[: len(stride)])
    layer = up_conv(6, 4, stride, bias=bias).double()
    convolve = F.conv_transpose2d if len(stride) == 2 else F.conv_transpose3d
    found, expected = layer(x), convolve(x, layer.weight, layer.bias, stride)
    torch.testing.assert_close(found, expected)
    leaves = (x, *layer.parameters())
    for ours, theirs in zip(gradients(found, *leaves), gradients(expected, *leaves), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("size", SIZES)
def test_join(size: tuple[int, ...]) -> None:
    x, skip = image(2, size), image(3, size)
    found, expected = join(x, skip), torch.cat((x, skip), 1)
    assert torch.equal(found, expected)
    for ours, theirs in zip(gradients(found, x, skip), gradients(expected, x, skip), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.is_contiguous(memory_format=torch.channels_last if len(size) == 2 else torch.channels_last_3d)


@pytest.mark.parametrize("stride", [(2, 2), (1, 2), (2, 2, 2), (1, 2, 3)])
def test_average_pool(stride: tuple[int, ...]) -> None:
    x = image(2, (4, 7, 6)[: len(stride)])  # an edge that the stride does not divide is cut
    found = _AveragePool(stride)(x)
    expected = F.avg_pool2d(x, stride) if len(stride) == 2 else F.avg_pool3d(x, stride)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, x), gradients(expected, x))
