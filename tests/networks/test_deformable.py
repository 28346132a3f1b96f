"""The deformable convolution: equal to the plain one, differentiable, zero outside, frugal."""

import pytest
import torch
from torch.nn import functional as F

from autoseg.networks._blocks.deformable import DeformableConv2d, DeformableConv3d, deformable_conv

KERNELS = [((6, 7), (3, 3)), ((5, 8), (1, 3)), ((4, 5, 6), (3, 3, 3)), ((3, 5, 4), (1, 3, 3))]


def conv(x, weight, bias):
    plain = F.conv2d if x.ndim == 4 else F.conv3d
    return plain(x, weight, bias, padding=tuple(edge // 2 for edge in weight.shape[2:]))


def tensors(size, kernel, *, width=3, dtype=torch.float64, seed=0):
    """Image, non-integer offsets of up to three voxels, weight and bias."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.Size(kernel).numel() * len(kernel)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    whole = torch.randint(-3, 3, (2, places, *size), generator=generator)
    part = torch.rand(2, places, *size, generator=generator, dtype=torch.float64)
    offsets = (whole + 0.1 + 0.8 * part).to(dtype)
    return normal(2, width, *size), offsets, 0.2 * normal(4, width, *kernel), normal(4)


def by_hand(x, offsets, weight, bias):
    """The definition, voxel by voxel: corners by `floor`, weight 1 - distance, nothing outside."""
    axes, size, kernel = x.ndim - 2, x.shape[2:], weight.shape[2:]
    taps = [torch.tensor(tap) for tap in torch.cartesian_prod(*(torch.arange(edge) for edge in kernel)).tolist()]
    corners = torch.cartesian_prod(*(torch.arange(2) for _ in range(axes))).tolist()
    y = bias.view(1, -1, *(1,) * axes).repeat(len(x), 1, *size)
    for sample in range(len(x)):
        for voxel in torch.cartesian_prod(*(torch.arange(edge) for edge in size)).tolist():
            for number, tap in enumerate(taps):
                offset = offsets[(sample, slice(number * axes, (number + 1) * axes), *voxel)]
                point = torch.tensor(voxel) + tap - torch.tensor(kernel) // 2 + offset
                for corner in corners:
                    at = point.floor() + torch.tensor(corner)
                    if all(0 <= place < edge for place, edge in zip(at.tolist(), size, strict=True)):
                        share = (1 - (point - at).abs()).prod()
                        value = x[(sample, slice(None), *at.long().tolist())]
                        y[(sample, slice(None), *voxel)] += share * (weight[(..., *tap.tolist())] @ value)
    return y


@pytest.mark.parametrize(("size", "kernel"), KERNELS)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_zero_offsets_are_the_plain_convolution(size, kernel, dtype, error):
    x, offsets, weight, bias = tensors(size, kernel, dtype=dtype)
    found = deformable_conv(x, torch.zeros_like(offsets), weight, bias)
    assert (found - conv(x, weight, bias)).abs().max() <= error * max(1, found.abs().max())


@pytest.mark.parametrize(("size", "kernel"), [((2, 3), (3, 3)), ((2, 2, 2), (1, 3, 1))])
def test_offsets_sample_by_definition(size, kernel):
    given = tensors(size, kernel, width=2)
    torch.testing.assert_close(deformable_conv(*given), by_hand(*given))


@pytest.mark.parametrize("size", [(6, 7), (4, 5, 6)])
def test_whole_offsets_move_the_image(size):
    axes = len(size)
    x, offsets, weight, bias = tensors(size, (3,) * axes)
    shift = torch.arange(axes) - 1  # per axis another: -1, 0, 1
    offsets = shift.double().view(1, axes, *(1,) * axes).repeat(2, offsets.shape[1] // axes, *size)
    moved = torch.zeros_like(x)
    inner = [slice(max(0, -step), edge - max(0, step)) for edge, step in zip(size, shift.tolist(), strict=True)]
    source = [slice(max(0, step), edge - max(0, -step)) for edge, step in zip(size, shift.tolist(), strict=True)]
    moved[(..., *inner)] = x[(..., *source)]
    inside = (slice(None), slice(None), *(slice(2, -2) if edge > 5 else slice(1, -1) for edge in size))
    torch.testing.assert_close(
        deformable_conv(x, offsets, weight, bias)[inside], conv(moved, weight, bias)[inside], atol=1e-12, rtol=0
    )


@pytest.mark.parametrize(
    ("size", "kernel", "fast"), [((2, 2), (1, 3), False), ((3, 4), (3, 3), True), ((2, 3, 2), (3, 3, 3), True)]
)
def test_gradients(size, kernel, fast):
    given = [part.requires_grad_() for part in tensors(size, kernel, width=2)]
    assert torch.autograd.gradcheck(deformable_conv, given, fast_mode=fast)


def test_far_outside_is_zero_and_has_no_slope():
    x, offsets, weight, bias = tensors((4, 5), (3, 3))
    offsets = torch.full_like(offsets, 1e9).requires_grad_()
    y = deformable_conv(x, offsets, weight, bias)
    assert torch.equal(y, bias.view(1, -1, 1, 1).expand_as(y))
    (slope,) = torch.autograd.grad(y.sum(), offsets)
    assert not slope.any()


def test_taps_are_sampled_again_instead_of_kept():
    x, offsets, weight, bias = (part.requires_grad_() for part in tensors((8, 9), (3, 3), width=16))
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda part: kept.append(part) or part, lambda part: part):
        deformable_conv(x, offsets, weight, bias)
    assert sum(part.numel() for part in kept) == x.numel() + offsets.numel() + weight.numel()


@pytest.mark.parametrize("kind", [DeformableConv2d, DeformableConv3d])
def test_layer_has_the_plain_layers_parameters(kind):
    axes = 2 if kind is DeformableConv2d else 3
    layer = kind(3, 5, (3,) * axes, padding=1, bias=False).double()
    x = torch.randn(2, 3, *(4,) * axes, dtype=torch.float64)
    offsets = torch.zeros(2, 3**axes * axes, *(4,) * axes, dtype=torch.float64)
    torch.testing.assert_close(layer(x, offsets), conv(x, layer.weight, None))
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("size", "kernel"), KERNELS)
def test_a_gpu_agrees(size, kernel):
    given = [part.requires_grad_() for part in tensors(size, kernel)]
    there = [part.detach().cuda().requires_grad_() for part in given]
    here, away = deformable_conv(*given), deformable_conv(*there)
    torch.testing.assert_close(away.cpu(), here)
    for ours, theirs in zip(
        torch.autograd.grad(here.square().sum(), given), torch.autograd.grad(away.square().sum(), there), strict=True
    ):
        torch.testing.assert_close(theirs.cpu(), ours)
