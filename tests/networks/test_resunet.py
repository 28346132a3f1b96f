"""The deep residual U-Net is the paper's, unit by unit."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autoseg.networks import networks
from autoseg.networks._blocks.preactivated import PreactivatedUnit
from autoseg.specs.plan import Topology

ZHANG = Topology(
    features=(64, 128, 256, 512),
    strides=((1, 1), (2, 2), (2, 2), (2, 2)),
    kernels=((3, 3),) * 4,
    encoder_blocks=(1,) * 4,
    decoder_blocks=(1,) * 3,
)


def small(**options):
    shape = ZHANG.model_copy(update={"features": (4, 6, 8, 8)})
    return networks.build("resunet", options, topology=shape, channels=3, heads=1)


def test_fifteen_convolutions_of_the_paper():
    network = networks.build("resunet", topology=ZHANG, channels=3, heads=1)
    network.deep_supervision = False
    convolutions = [
        (name, module.in_channels, module.out_channels, module.stride[0])
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
        and "skip" not in name
        and "seg_layers.0" not in name
        and "seg_layers.1" not in name
    ]
    assert [row[1:] for row in convolutions] == [
        (3, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2),
        (512, 512, 1), (768, 256, 1), (256, 256, 1), (384, 128, 1), (128, 128, 1), (192, 64, 1), (64, 64, 1),
        (64, 1, 1),
    ]  # fmt: skip


def test_a_unit_is_norm_relu_convolution_twice_beside_the_identity():
    network = small()
    unit = network.encoder.stages[1].blocks[0].eval()
    x = torch.randn(2, 4, 6, 8)
    inner = F.relu(x / math.sqrt(1 + 1e-5))  # batch norm before any training
    inner = F.conv2d(inner, unit.conv1.weight, unit.conv1.bias, stride=2, padding=1)
    inner = F.conv2d(F.relu(inner / math.sqrt(1 + 1e-5)), unit.conv2.weight, unit.conv2.bias, padding=1)
    torch.testing.assert_close(unit(x), inner + F.conv2d(x, unit.skip.weight, unit.skip.bias, stride=2))


def test_the_first_unit_starts_with_its_convolution():
    units = [module for module in small().modules() if isinstance(module, PreactivatedUnit)]
    assert [isinstance(unit.start, nn.Identity) for unit in units] == [True, *[False] * 6]


def test_an_equal_width_keeps_the_identity_itself():
    shape = ZHANG.model_copy(update={"features": (4, 4, 4, 4), "encoder_blocks": (2,) * 4})
    network = networks.build("resunet", topology=shape, channels=4, heads=1)
    units = [unit for unit in network.encoder.modules() if isinstance(unit, PreactivatedUnit)]
    assert [unit.skip is None for unit in units] == [True, True, *(False, True) * 3]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_without_norm_the_identity_is_not_activated(activation):
    unit = small(norm="none", activation=activation).encoder.stages[1].blocks[0]
    x = -torch.ones(1, 4, 4, 4)
    unit(x)
    assert torch.equal(x, -torch.ones(1, 4, 4, 4))


def test_up_sampling_takes_the_nearest_voxel_and_keeps_the_width():
    network = small()
    assert network.decoder.transpconvs[0](torch.arange(4.0).view(1, 1, 2, 2))[0, 0, 0].tolist() == [0, 0, 1, 1]
    assert network.decoder.stages[0].blocks[0].conv1.in_channels == 8 + 8
    assert small(upsampling="transposed").decoder.transpconvs[2].weight.shape == (6, 4, 2, 2)


def test_dropout_lies_before_the_second_convolution():
    unit = small(dropout=0.5).encoder.stages[0].blocks[0]
    seen = []
    unit.conv2.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    unit.train()(torch.rand(4, 3, 8, 8))
    dropped = (seen[0] == 0).flatten(2).all(2)
    assert dropped.any()
    assert not dropped.all()
