"""Optimisers by their usual names, and the exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from autoseg.specs.method import OptimizerChoice
from autoseg.training.muon import Muon


def build_optimizer(
    network: nn.Module, choice: OptimizerChoice, *, precision: torch.dtype = torch.float32
) -> torch.optim.Optimizer:
    """Optimiser over all parameters; its learning rate is set before every update.

    SGD decays every parameter, as nnU-Net v2 does. AdamW spares norms and biases: decaying a scale towards zero
    fights the normalisation instead of regularising.
    """
    if choice.name == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            lr=choice.learning_rate,
            momentum=choice.momentum,
            nesterov=choice.momentum > 0,
            weight_decay=choice.weight_decay,
            foreach=True,
        )
    if choice.name == "muon":
        return Muon(
            network.parameters(),
            lr=choice.learning_rate,
            momentum=choice.momentum,
            weight_decay=choice.weight_decay,
            betas=choice.betas,
            dtype=torch.bfloat16 if precision == torch.bfloat16 else torch.float32,
        )
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    spared = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": choice.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    kind = torch.optim.AdamW if choice.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=choice.learning_rate, betas=choice.betas, foreach=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class WeightAverage:
    """Exponential moving average of a network's floating-point state (Polyak averaging).

    Args:
        network: The network that is trained; its state at construction is the first average.
    """

    def __init__(self, network: nn.Module) -> None:
        self._live = [tensor for _, tensor in unique_state(network)]
        self.tensors = {name: tensor.detach().clone() for name, tensor in unique_state(network)}

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move the average towards the live weights by 1 - `decay`."""
        torch._foreach_lerp_(list(self.tensors.values()), self._live, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange live and averaged weights in place; a second call undoes the first."""
        for average, live in zip(self.tensors.values(), self._live, strict=True):
            kept = live.clone()
            live.copy_(average)
            average.copy_(kept)


def unique_state(network: nn.Module) -> Iterable[tuple[str, torch.Tensor]]:
    """Floating-point tensors of the state dict, each once, under its first name."""
    seen: set[int] = set()
    for name, tensor in network.state_dict(keep_vars=True).items():
        if tensor.is_floating_point() and id(tensor) not in seen:
            seen.add(id(tensor))
            yield name, tensor
