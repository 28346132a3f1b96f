"""Cores tile the volume: equal to the whole volume at once where the context covers the receptive field."""

from __future__ import annotations

import pytest
import torch
from small import two_levels
from torch import nn
from torch.nn import functional

from autoseg.imageops.grid import core_starts
from autoseg.inference.sliding import predict_logits
from autoseg.networks import networks

CONTEXT = 10


def network(name: str, dimensions: int, *, context: int = CONTEXT) -> nn.Module:
    """Two levels with batch norm of random statistics; its receptive field is below the context."""
    torch.manual_seed(0)
    options: dict[str, object] = {"norm": "batch", "context_voxels": (context,) * dimensions}
    if name == "plain_unet":
        options |= {"downsampling": "max_pool"}
    made: nn.Module = networks.build(name, options, topology=two_levels(dimensions, (6, 8)), channels=2, heads=3)
    for module in made.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return made.eval()


@pytest.mark.parametrize("name", ["plain_unet", "segnet"])
@pytest.mark.parametrize("shape", [(16, 24, 16), (13, 20, 31)])
def test_tiled_cores_equal_the_whole_volume(name: str, shape: tuple[int, int, int]) -> None:
    made = network(name, 3)
    image = torch.randn(2, *shape)
    tiled = predict_logits([made], image, patch_size_voxels=(8, 8, 8), context_voxels=(CONTEXT,) * 3)
    starts = [core_starts(size, 8) for size in shape]
    sides = [(-first[0], first[-1] + 8 - size) for first, size in zip(starts, shape, strict=True)]
    padding = [CONTEXT + side for pair in reversed(sides) for side in pair]
    with torch.inference_mode():
        whole = made(functional.pad(image[None], padding))[0]
    inside = tuple(slice(before, before + size) for (before, _), size in zip(sides, shape, strict=True))
    assert tiled.shape == (3, *shape)
    torch.testing.assert_close(tiled, whole[(slice(None), *inside)], atol=1e-5, rtol=0)


def test_without_context_borders_show() -> None:
    with_context, without = network("plain_unet", 3), network("plain_unet", 3, context=0)
    image = torch.randn(2, 16, 16, 16)
    right = predict_logits([with_context], image, patch_size_voxels=(8, 8, 8), context_voxels=(CONTEXT,) * 3)
    wrong = predict_logits([without], image, patch_size_voxels=(8, 8, 8), context_voxels=(0, 0, 0))
    assert float((right - wrong)[:, 7:9].abs().max()) > 1e-2


def test_slices_are_tiled_in_plane() -> None:
    made = network("plain_unet", 2)
    image = torch.randn(2, 3, 16, 12)
    tiled = predict_logits([made], image, patch_size_voxels=(8, 12), context_voxels=(CONTEXT,) * 2)
    padded = functional.pad(image, [CONTEXT] * 4).transpose(0, 1)
    with torch.inference_mode():
        whole = made(padded).transpose(0, 1)
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)


class Counting(nn.Module):
    """Gives the core of its input and counts the windows."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context, self.seen = context, 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen += len(image)
        cut = slice(self.context, -self.context) if self.context else slice(None)
        return image[:, :, cut, cut, cut]


@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("shape", [(10, 12, 12), (5, 6, 4), (11, 7, 13)])
def test_every_voxel_is_labelled_once_and_stays_in_its_place(context: int, shape: tuple[int, int, int]) -> None:
    made = Counting(context)
    image = torch.randn(2, *shape)
    core, around = (5, 6, 4), (context,) * 3
    found = predict_logits([made], image, patch_size_voxels=core, context_voxels=around, step_size=0.5)
    assert torch.equal(found, image)
    cores = [len(core_starts(size, edge)) for size, edge in zip(shape, core, strict=True)]
    assert made.seen == cores[0] * cores[1] * cores[2], "the step size means nothing to a fixed grid"
