"""Optimisers and the weight average."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.specs.method import OptimizerChoice
from autoseg.training.muon import Muon, orthogonalize
from autoseg.training.optim import WeightAverage, build_optimizer, set_learning_rate, unique_state


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 2, 1))


@pytest.mark.parametrize(
    ("name", "rate", "momentum"), [("sgd", 0.1, 0.9), ("adam", 3e-3, 0.9), ("adamw", 3e-3, 0.9), ("muon", 2e-2, 0.95)]
)
def test_each_optimizer_learns(name, rate, momentum):
    model = network()
    optimizer = build_optimizer(model, OptimizerChoice(name=name, learning_rate=rate, momentum=momentum))
    image = torch.randn(4, 8, 6, 6)
    target = (image.mean(1) > 0).long()
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(image), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_rate_zero_changes_nothing():
    model = network()
    before = [tensor.clone() for tensor in model.parameters()]
    optimizer = build_optimizer(model, OptimizerChoice(name="muon", momentum=0.95))
    set_learning_rate(optimizer, 0.0)
    model(torch.randn(2, 8, 4, 4)).sum().backward()
    optimizer.step()
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("shape", [(16, 72), (72, 16)])
def test_orthogonalized_matrices_have_singular_values_near_one(shape):
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_average_follows_and_swaps_exactly():
    model = network()
    average = WeightAverage(model)
    with torch.no_grad():
        model[0].weight.add_(1.0)
    average.update(0.75)
    live = model[0].weight.clone()
    average.swap()
    torch.testing.assert_close(model[0].weight, live - 0.75)
    average.swap()
    assert torch.equal(model[0].weight, live)


def test_shared_tensors_count_once():
    shared = nn.Conv2d(2, 2, 1)
    model = nn.ModuleDict({"first": shared, "second": shared})
    assert [name for name, _ in unique_state(model)] == ["first.weight", "first.bias"]


class Launches(TorchDispatchMode):
    """Counts operations, each of which a GPU would launch; views are none."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def test_more_norms_take_no_more_launches():
    found = []
    for number in (2, 40):
        parameters = [nn.Parameter(torch.ones(5)) for _ in range(number)]
        optimizer = Muon(parameters, lr=0.1)
        for parameter in parameters:
            parameter.grad = torch.ones(5)
        optimizer.step()  # makes its state
        with Launches() as launches:
            optimizer.step()
        # The number of the step is the host's own.
        found.append(launches.count - 2 * number)
    assert found[0] == found[1] < 10
