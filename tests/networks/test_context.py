"""Networks with context: their cores tile a volume without seams."""

import itertools

import pytest
import torch
from torch import nn

from autoseg.core.errors import GeometryError, SpecError
from autoseg.networks import context_voxels, cost, networks
from autoseg.networks._context import Context
from autoseg.specs.plan import Topology


def topology(dimensions, *, stages=2, width=4):
    ones, twos = (1,) * dimensions, (2,) * dimensions
    return Topology(
        features=tuple(width * 2**stage for stage in range(stages)),
        strides=(ones, *(twos,) * (stages - 1)),
        kernels=((3,) * dimensions,) * stages,
        encoder_blocks=(1,) * stages,
        decoder_blocks=(1,) * (stages - 1),
    )


def trained(name, shape, options):
    """In evaluation mode, with running statistics that are not the starting ones."""
    torch.manual_seed(0)
    network = networks.build(name, {"norm": "batch", **options}, topology=shape, channels=2, heads=3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.randn(2, 2, *(24,) * shape.dimensions))
    return network.eval()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain_unet", {"downsampling": "max_pool"}),
        ("plain_unet", {"upsampling": "nearest"}),
        ("segnet", {}),
        ("resunet", {}),
        ("residual_encoder_unet", {}),
    ],
)
@pytest.mark.parametrize(("dimensions", "context"), [(2, 10), (2, 9), (3, 10)])
def test_tiled_cores_equal_the_whole_volume(name, options, dimensions, context):
    axes, core = range(dimensions), (8, 12, 6)[:dimensions]
    network = trained(name, topology(dimensions), {**options, "context_voxels": (context,) * dimensions})
    volume = nn.functional.pad(torch.randn(1, 2, *(2 * edge for edge in core)), (context,) * 2 * dimensions)
    with torch.no_grad():
        whole = network(volume)
        tiled = torch.empty_like(whole)
        for tile in itertools.product(range(2), repeat=dimensions):
            first = [tile[axis] * core[axis] for axis in axes]
            seen = (..., *(slice(first[axis], first[axis] + core[axis] + 2 * context) for axis in axes))
            tiled[(..., *(slice(first[axis], first[axis] + core[axis]) for axis in axes))] = network(volume[seen])
    assert whole.std() > 0.05
    assert (tiled - whole).abs().max() <= 1e-5


def test_without_context_the_borders_show():
    network = trained("plain_unet", topology(2), {})
    volume = torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        whole = network(volume)
        left = network(volume[..., :16])
    assert (left - whole[..., :16]).abs().max() > 1e-2


def test_the_core_lies_where_the_whole_network_puts_it():
    options = {"context_voxels": (4, 8)}
    network = trained("plain_unet", topology(2, stages=3), options)
    plain = trained("plain_unet", topology(2, stages=3), {})
    plain.load_state_dict(network.state_dict())
    image = torch.randn(1, 2, 24, 32)
    network.deep_supervision = plain.deep_supervision = True
    with torch.no_grad():
        cores, levels = network(image), plain(image)
    assert torch.equal(cores[0], levels[0][..., 4:20, 8:24])
    assert torch.equal(cores[1], levels[1][..., 2:10, 4:12])


def test_minicubes_of_the_paper():
    shape = topology(3, stages=4)
    context = Context.of((10, 10, 10), shape)
    assert context.padding((100, 116, 116)) == ((2, 2),) * 3
    assert context.padded((80, 96, 96)) == (104, 120, 120)
    assert context.core((100, 116, 116), 0) == (slice(12, 92), slice(12, 108), slice(12, 108))
    sizes = {"topology": shape, "patch_size_voxels": (80, 96, 96), "channels": 4, "heads": 4}
    for name in ("plain_unet", "segnet", "resunet", "residual_encoder_unet"):
        grown = cost(name, {"context_voxels": (10, 10, 10)}, **{**sizes})
        assert grown == cost(name, **{**sizes, "patch_size_voxels": (104, 120, 120)})


def test_samplers_learn_the_context_from_the_options():
    assert context_voxels("segnet", {"context_voxels": [4, 6]}) == (4, 6)
    assert context_voxels("plain_unet") is None
    assert context_voxels("folded_unet") is None
    inside = {"fold": (1, 2), "network": "segnet", "options": {"context_voxels": (4, 6)}}
    assert context_voxels("folded_unet", inside) == (4, 12)
    network = networks.build("folded_unet", inside, topology=topology(2), channels=1, heads=2)
    assert network(torch.zeros(2, 1, 8 + 8, 24 + 24)).shape == (2, 2, 8, 24)


def test_wrong_contexts_are_named():
    with pytest.raises(SpecError, match=r"context_voxels = \(10, 10\): give 3 numbers \(z, y, x\), none below 0"):
        networks.build("segnet", {"context_voxels": (10, 10)}, topology=topology(3), channels=1, heads=2)
    with pytest.raises(SpecError, match=r"give 2 numbers \(y, x\)"):
        cost(
            "plain_unet",
            {"context_voxels": (3, -1)},
            topology=topology(2),
            patch_size_voxels=(8, 8),
            channels=1,
            heads=2,
        )


def test_inputs_without_a_core_are_named():
    network = networks.build("plain_unet", {"context_voxels": (8, 8)}, topology=topology(2), channels=1, heads=2)
    with pytest.raises(GeometryError, match=r"\(16, 32\) voxels has no core within a context of \(8, 8\): enlarge"):
        network(torch.zeros(1, 1, 16, 32))


def test_levels_that_straddle_the_border_are_named():
    options = {"context_voxels": (4, 4)}
    network = networks.build("plain_unet", options, topology=topology(2, stages=3), channels=1, heads=2)
    assert network(torch.zeros(1, 1, 23, 24)).shape == (1, 2, 15, 16)
    network.deep_supervision = True
    with pytest.raises(GeometryError, match="core of 15 voxels does not divide by 2, the stride of decoder level 1"):
        network(torch.zeros(1, 1, 23, 24))
