"""The stand-in for a GPU refuses what a GPU refuses, computes what the host computes, and counts waits."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from twin import Twin, TwinTensor, twin


def test_tensors_say_where_they_are(gpu: Twin) -> None:
    made = torch.ones(3, device=gpu.device)
    assert isinstance(made, TwinTensor)
    assert made.device == (made + 1).device == torch.arange(3).to(gpu.device).device == gpu.device
    assert made.cpu().device.type == "cpu"
    assert torch.equal(made.cpu(), torch.ones(3))


def test_arrays_of_both_sides_do_not_mix(gpu: Twin) -> None:
    there, here = torch.ones(3, device=gpu.device), torch.ones(3)
    for mix in (
        lambda: there + here,
        lambda: torch.cat([there, here]),
        lambda: here.add_(there),
        lambda: torch.zeros(()).add_(there.sum()),
        lambda: torch._foreach_add_([here], [there]),
        lambda: there.index_put_((torch.tensor([0]),), here[:1]),
        lambda: nn.functional.conv1d(there[None, None], here[None, None]),
    ):
        with pytest.raises(RuntimeError, match="is on the host"):
            mix()


def test_numbers_of_the_host_are_taken(gpu: Twin) -> None:
    there = torch.ones(3, device=gpu.device)
    assert (there * torch.tensor(2.0)).sum().item() == 6


def test_the_host_cannot_look_in(gpu: Twin) -> None:
    with pytest.raises(RuntimeError, match="not supported"):
        torch.ones(3, device=gpu.device).numpy()


def test_waits_are_counted(gpu: Twin) -> None:
    there = torch.arange(4.0, device=gpu.device)
    there.mul_(2).sub_(there.mean()).add_(torch.ones(4).to(gpu.device, non_blocking=True))
    assert not gpu.waits
    for look in (
        there.sum().item,
        there.cpu,
        there.nonzero,
        lambda: there[[0, 2]],
        lambda: there[torch.tensor([0, 2])],
        lambda: torch.tensor(3.0, device=gpu.device),
        lambda: torch.ones(3).to(gpu.device),
    ):
        before = sum(gpu.waits.values())
        look()
        assert sum(gpu.waits.values()) == before + 1, gpu.waits


def test_gradients_equal_those_of_the_host(gpu: Twin) -> None:
    torch.manual_seed(0)
    here = nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.LeakyReLU(), nn.Conv2d(4, 2, 1))
    there = nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.LeakyReLU(), nn.Conv2d(4, 2, 1))
    there.load_state_dict(here.state_dict())
    there.to(gpu.device)
    image = torch.randn(2, 1, 8, 8)
    here(image).square().mean().backward()
    there(image.to(gpu.device)).square().mean().backward()
    for one, other in zip(here.parameters(), there.parameters(), strict=True):
        assert other.grad.device == gpu.device
        torch.testing.assert_close(other.grad.cpu(), one.grad)


def test_autocast_follows_the_lists_of_cuda(gpu: Twin) -> None:
    layer, image = nn.Conv2d(1, 4, 3).to(gpu.device), torch.randn(2, 1, 8, 8).to(gpu.device)
    with torch.autocast(gpu.device.type, torch.float16):
        found = layer(image)
        mixed = found.addcmul(found.float(), found.float())
        kinds = [each.dtype for each in (found, found.softmax(1), found.sum(), mixed, -found)]
    half, full = torch.float16, torch.float32
    assert kinds == [half, full, full, full, half]
    assert found.softmax(1).dtype == half, "outside it is left alone"


def test_half_precision_that_a_cpu_lacks(gpu: Twin) -> None:
    image = torch.rand(1, 1, 4, 4, 4, device=gpu.device)
    pooled = nn.functional.avg_pool3d(image.half(), 2)
    assert pooled.dtype == torch.float16
    torch.testing.assert_close(pooled.float().cpu(), nn.functional.avg_pool3d(image.cpu(), 2), atol=1e-3, rtol=1e-3)
    with pytest.raises(NotImplementedError, match="Bool"):
        nn.functional.avg_pool3d(image > 0, 2)


def test_weights_are_gone_with_the_context() -> None:
    with twin() as gpu:
        there = torch.ones(2, device=gpu.device)
    with pytest.raises(RuntimeError, match="outside of"):
        there + 1
