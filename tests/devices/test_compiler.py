"""Compiled on CUDA only; the same outputs and gradients; a compiler that fails is named and done without."""

import logging

import pytest
import torch
from torch import nn

from autoseg.devices.compiler import Compiled, accelerated


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.InstanceNorm3d(4), nn.LeakyReLU(), nn.Conv3d(4, 2, 1))


def test_only_cuda_compiles(network):
    assert accelerated(network, wanted=True, device=torch.device("cpu")) is network
    assert accelerated(network, wanted=False, device=torch.device("cuda")) is network
    assert isinstance(accelerated(network, wanted=True, device=torch.device("cuda")), Compiled)


def test_outputs_gradients_and_names_stay(network):
    image, names = torch.randn(2, 1, 6, 6, 6), list(network.state_dict())
    found = []
    for forward in (network, Compiled(network, backend="aot_eager")):
        network.zero_grad()
        outputs = forward(image)
        outputs.square().mean().backward()
        found.append([outputs.detach(), *(weight.grad.clone() for weight in network.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert list(network.state_dict()) == names


def test_every_network_of_a_process_is_compiled_for_its_own_shapes():
    """By default torch would give the second one symbols for sizes, and the fifth nothing."""
    graphs = []

    def backend(graph, inputs):
        graphs.append([size for each in inputs if isinstance(each, torch.Tensor) for size in each.shape])
        return graph

    for width in range(4, 14):
        network = nn.Sequential(nn.Conv2d(1, width, 3), nn.LeakyReLU())
        forward = Compiled(network, backend=backend)
        for batch in (2, 3):
            forward(torch.randn(batch, 1, 2 * width, 3 * width))
    assert len(graphs) == 20
    assert all(type(size) is int for sizes in graphs for size in sizes)


def test_a_compiler_that_fails_is_named_once(network, caplog):
    def broken(graph, inputs):
        raise RuntimeError("Failed to find C compiler")

    forward, image = Compiled(network, backend=broken), torch.randn(1, 1, 6, 6, 6)
    with caplog.at_level(logging.WARNING):
        first, second = forward(image), forward(image)
    assert torch.equal(first, network(image))
    assert torch.equal(first, second)
    assert not forward.works
    told = [record.message for record in caplog.records if "uncompiled" in record.message]
    assert len(told) == 1
    assert "Failed to find C compiler" in told[0]


def test_an_error_of_the_network_itself_is_not_hidden(network):
    with pytest.raises(RuntimeError, match="channels"):
        Compiled(network, backend="eager")(torch.randn(1, 3, 6, 6, 6))
