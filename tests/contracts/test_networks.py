"""Every network, found by the registry, keeps the same promises."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autoseg.devices.compiler import Compiled
from autoseg.networks import cost, networks
from autoseg.specs.plan import Topology

CHANNELS, HEADS, BATCH = 2, 3, 2
GRIDS: dict[str, tuple[Topology, tuple[int, ...]]] = {
    "2d": (
        Topology(
            features=(4, 8, 16),
            strides=((1, 1), (2, 2), (2, 2)),
            kernels=((3, 3),) * 3,
            encoder_blocks=(1, 2, 2),
            decoder_blocks=(2, 1),
        ),
        (32, 48),
    ),
    "3d": (
        Topology(
            features=(4, 8, 8),
            strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
            kernels=((3, 3, 3),) * 3,
            encoder_blocks=(2, 1, 3),
            decoder_blocks=(1, 2),
        ),
        (16, 24, 16),
    ),
    "anisotropic": (
        Topology(
            features=(4, 6, 8),
            strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
            kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
            encoder_blocks=(2, 2, 2),
            decoder_blocks=(2, 2),
        ),
        (8, 32, 24),
    ),
}


ALIGNED = {"skip": "aligned"}
VARIANTS: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "aligned": ("plain_unet", ("2d", "anisotropic"), ALIGNED),
    "aligned by both": ("residual_encoder_unet", ("2d",), {**ALIGNED, "offsets_from": "both"}),
    "shared": ("plain_unet", ("2d",), {**ALIGNED, "alignment": "shared"}),
    "shared by both": ("resunet", ("2d",), {**ALIGNED, "alignment": "shared", "offsets_from": "both"}),
    "aligned residual": ("resunet", ("anisotropic",), {**ALIGNED, "offsets_from": "both"}),
    "of the papers": (
        "plain_unet",
        ("2d", "3d"),
        {"downsampling": "max_pool", "norm": "batch", "activation": "relu", "bottleneck_convolutions": 1},
    ),
    "without norm": ("plain_unet", ("3d",), {"norm": "none", "upsampling": "nearest", "conv_bias": False}),
    "interpolated": ("plain_unet", ("anisotropic",), {"upsampling": "linear"}),
    "residual, no norm": ("residual_encoder_unet", ("2d",), {"norm": "none"}),
    "resunet, transposed": ("resunet", ("3d",), {"upsampling": "transposed", "head": "activated", "norm": "instance"}),
    "resunet, no norm": ("resunet", ("2d",), {"norm": "none"}),
    "segnet, no norm": ("segnet", ("2d",), {"norm": "none"}),
    "folded, aligned": ("folded_unet", ("3d",), {"network": "resunet", "options": ALIGNED}),
}
"""Options that change the layers: kind of network, grids, options."""
CASES = [(name, grid, {}, f"{name}-{grid}") for name in networks.names() for grid in GRIDS] + [
    (name, grid, options, f"{variant}-{grid}") for variant, (name, grids, options) in VARIANTS.items() for grid in grids
]


def options_for(name: str, dimensions: int) -> dict[str, Any]:
    """A network whose options depend on the dimension says so by `example_options(dimensions)`."""
    example = getattr(networks.load(name), "example_options", None)
    return dict(example(dimensions)) if example else {}


@pytest.fixture(params=[case[:3] for case in CASES], ids=[case[3] for case in CASES])
def built(request: pytest.FixtureRequest) -> tuple[nn.Module, str, dict[str, Any], Topology, tuple[int, ...]]:
    """Network with every weight moved off its starting value, so that nothing is zero by design."""
    name, grid, variant = request.param
    topology, patch = GRIDS[grid]
    torch.manual_seed(0)
    options = {**options_for(name, topology.dimensions), **variant}
    network = networks.build(name, options, topology=topology, channels=CHANNELS, heads=HEADS)
    for part, parameter in network.named_parameters():
        # Offsets of a few voxels, so that rounding does not send a sampling point elsewhere.
        parameter.data += (0.01 if ".offsets." in part else 0.1) * torch.randn_like(parameter)
    return network, name, options, topology, patch


class TestEveryNetwork:
    def test_shape(self, built: Any) -> None:
        network, _, _, _, patch = built
        assert network.deep_supervision is False
        assert network(torch.randn(BATCH, CHANNELS, *patch)).shape == (BATCH, HEADS, *patch)

    def test_deep_supervision(self, built: Any) -> None:
        network, _, _, topology, patch = built
        image = torch.randn(BATCH, CHANNELS, *patch)
        network.eval()
        with torch.no_grad():
            finest = network(image)
            network.deep_supervision = True
            levels = network(image)
        assert isinstance(levels, tuple)
        assert len(levels) == len(topology.features) - 1
        torch.testing.assert_close(levels[0], finest)
        size = patch
        for level, stride in zip(levels, topology.strides, strict=False):
            size = tuple(edge // step for edge, step in zip(size, stride, strict=True))
            assert level.shape == (BATCH, HEADS, *size)

    def test_gradients_reach_all_weights(self, built: Any) -> None:
        network, _, _, _, patch = built
        network.deep_supervision = True
        levels = network(torch.randn(BATCH, CHANNELS, *patch))
        torch.autograd.backward(sum((level**2).mean() for level in levels))
        # A bias before an instance norm is taken out again by the norm: its gradient is rounding, but it is there.
        silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert silent == []

    def test_cost_against_what_runs(self, built: Any) -> None:
        network, name, options, topology, patch = built
        expected = cost(
            name,
            options,
            topology=topology,
            patch_size_voxels=patch,
            channels=CHANNELS,
            heads=HEADS,
        )
        counted: list[int] = []
        kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        for module in network.modules():
            if isinstance(module, kinds):
                module.register_forward_hook(lambda _module, _inputs, output: counted.append(output.numel()))
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            network(torch.randn(1, CHANNELS, *patch))
        assert expected.parameters == sum(parameter.numel() for parameter in network.parameters())
        assert expected.flops == flops.get_total_flops()
        # The planner's proxy may count a pooled skip connection as a convolution (nnU-Net v2 does), no more.
        assert sum(counted) <= expected.elements <= 1.2 * sum(counted)

    def test_half_precision(self, built: Any) -> None:
        network, _, _, _, patch = built
        image = torch.randn(1, CHANNELS, *patch)
        with torch.no_grad():
            exact = network(image)
            with torch.autocast("cpu", torch.bfloat16):
                under_autocast = network(image)
            cast = network.to(torch.bfloat16)(image.to(torch.bfloat16))
        for half in (under_autocast, cast):
            assert math.isfinite(half.float().sum().item())
            # A pooled maximum that rounds to its neighbour's value sends SegNet's up-sampling elsewhere.
            assert (half.float() - exact).abs().mean() < 0.08 * exact.abs().mean() + 0.02

    def test_samples_do_not_mix(self, built: Any) -> None:
        network, _, _, _, patch = built
        images = torch.randn(BATCH, CHANNELS, *patch)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                module.momentum = 1.0  # statistics of one step, as after training
        with torch.no_grad():
            network(images)
            network.eval()
            together = network(images)
            apart = torch.cat([network(image[None]) for image in images])
        scale = max(1.0, together.abs().mean().item())
        torch.testing.assert_close(together, apart, atol=1e-4 * scale, rtol=1e-4)


@pytest.mark.parametrize("name", networks.names())
def test_compiled_it_computes_the_same(name: str) -> None:
    """Traced as on a GPU, gradients included; a backend would take longer and is torch's own."""
    topology, patch = GRIDS["3d"]
    torch.manual_seed(0)
    options = options_for(name, topology.dimensions)
    network = networks.build(name, options, topology=topology, channels=CHANNELS, heads=HEADS)
    image, found = torch.randn(BATCH, CHANNELS, *patch), []
    compiled = Compiled(network, backend="eager")
    for forward in (network, compiled):
        network.zero_grad()
        output = forward(image)
        (output**2).mean().backward()
        found.append([output, *(weight.grad for weight in network.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert compiled.works
