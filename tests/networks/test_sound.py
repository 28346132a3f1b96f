"""Convolutions equal torch's own, and do without its faults, which are shown to be there still."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autoseg.devices.precision import cpu_prefers_bfloat16
from autoseg.networks import networks
from autoseg.networks._blocks.sound import Conv2d, Conv3d
from autoseg.specs.plan import Topology

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
CRASH = """
import torch
from torch import nn
from autoseg.networks._blocks.sound import Conv2d
layer = {kind}(8, 16, 1, stride=2)
for _ in range(3):
    x = torch.ones(8, 8, 256, 256).to(memory_format=torch.channels_last).requires_grad_()
    layer(x).sum().backward()
    others = [torch.empty(10_000 * size) for size in range(1, 50)]
"""


def image(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(*shape, dtype=dtype).to(memory_format=LAYOUTS[len(shape)]).requires_grad_()


@pytest.mark.parametrize("stride", [(2, 2), (1, 2), (2, 2, 2), (1, 2, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_strided_points_are_those_of_torch(stride: tuple[int, ...], bias: bool) -> None:
    kind, convolve = (Conv2d, F.conv2d) if len(stride) == 2 else (Conv3d, F.conv3d)
    x = image(2, 3, *(5, 6, 7)[: len(stride)], dtype=torch.float64)
    layer: nn.Module = kind(3, 4, 1, stride=stride, bias=bias).double()
    found, expected = layer(x), convolve(x, layer.weight, layer.bias, stride)
    torch.testing.assert_close(found, expected)
    leaves = (x, *layer.parameters())
    weights = torch.randn(found.shape, dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((one * weights).sum(), leaves) for one in (found, expected))
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right)


def test_a_strided_point_convolution_does_not_crash() -> None:
    assert subprocess.run([sys.executable, "-c", CRASH.format(kind="Conv2d")], check=False).returncode == 0


def test_torch_still_crashes() -> None:
    done = subprocess.run([sys.executable, "-c", CRASH.format(kind="nn.Conv2d")], capture_output=True, check=False)
    if done.returncode == 0:
        pytest.skip(f"torch {torch.__version__} on this CPU does not crash: the guard may go where this holds for all")
    assert done.returncode < 0, done.stderr.decode()


def leave_nan_in_freed_memory() -> None:
    """What is allocated next holds it, unless it is overwritten."""
    sizes = (2_000, 20_000, 200_000)
    freed = [torch.full((size,), float("nan"), dtype=torch.bfloat16) for size in sizes for _ in range(6)]
    freed += [torch.full((size,), float("nan")) for size in sizes for _ in range(6)]
    del freed


def error_of_gradients(kind: Callable[..., nn.Module], *, slices: int, kernel: int) -> float:
    """Of weights and input in bfloat16, against float32: norm of the difference over the norm; infinite for NaN."""
    torch.manual_seed(0)
    layer, x = kind(32, 32, (kernel, 3, 3), padding=(kernel // 2, 1, 1)), image(1, 32, slices, 6, 6)
    weights = torch.randn(1, 32, slices, 6, 6)
    exact = torch.autograd.grad((layer(x) * weights).sum(), (layer.weight, x))
    worst = 0.0
    for _ in range(2):
        leave_nan_in_freed_memory()
        with torch.autocast("cpu", torch.bfloat16):
            output = layer(x)
        assert output.dtype == torch.bfloat16
        leave_nan_in_freed_memory()
        found = torch.autograd.grad((output * weights).sum(), (layer.weight, x))
        for ours, theirs in zip(found, exact, strict=True):
            error = float((ours - theirs).norm() / theirs.norm())
            worst = max(worst, error if error == error else float("inf"))
    return worst


@pytest.mark.parametrize(("slices", "kernel"), [(2, 1), (1, 3), (2, 3), (3, 3), (2, 5), (4, 5), (5, 5)])
def test_gradients_in_bfloat16(slices: int, kernel: int) -> None:
    assert error_of_gradients(Conv3d, slices=slices, kernel=kernel) < 0.02


def test_torch_still_loses_the_gradient_of_two_slices() -> None:
    if not cpu_prefers_bfloat16():
        pytest.skip("this CPU has no instructions for bfloat16")
    error = error_of_gradients(nn.Conv3d, slices=2, kernel=3)
    if error < 0.02:
        pytest.skip(f"torch {torch.__version__} computes it on this CPU: the guard may go where this holds for all")
    assert error > 0.1


def test_a_network_with_two_slices_trains_in_bfloat16() -> None:
    topology = Topology(
        features=(8, 16, 32),
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
        kernels=((3, 3, 3),) * 3,
        encoder_blocks=(2, 2, 2),
        decoder_blocks=(2, 2),
    )
    network = networks.build("plain_unet", topology=topology, channels=1, heads=2)
    torch.manual_seed(0)
    x = torch.randn(1, 1, 8, 16, 16)
    for _ in range(2):
        leave_nan_in_freed_memory()
        with torch.autocast("cpu", torch.bfloat16):
            output = network(x)
        leave_nan_in_freed_memory()
        output.float().square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)


def test_predictions_stay_in_the_fast_type() -> None:
    layer = Conv3d(4, 4, 3, padding=1)
    with torch.inference_mode():
        whole = layer.bfloat16()(torch.ones(1, 4, 2, 6, 6, dtype=torch.bfloat16))
    assert whole.dtype == torch.bfloat16
