"""Muon: momentum whose update matrices are orthogonalised.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Quintic Newton-Schulz iteration that drives singular values to about 1 within five steps (the same source)."""
STEPS = 5


class Muon(torch.optim.Optimizer):
    """Muon for weight matrices, Adam for the rest (norms, biases, first and last layers).

    A convolution kernel (out, in, *k) counts as the matrix (out, in * k). The update of each matrix has unit spectral
    norm, scaled by sqrt(max(1, rows / columns)), so one learning rate fits all layers.

    Args:
        parameters: Of the network.
        lr: Learning rate of the matrices.
        momentum: Nesterov momentum of the matrices.
        weight_decay: Decoupled decay of the matrices, times the learning rate.
        betas: Of Adam.
        adam_share: Adam's learning rate as a share of `lr`.
        dtype: Type to orthogonalise in; bfloat16 is exact enough and faster where the device computes it.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.99),
        adam_share: float = 0.15,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        every = list(parameters)
        matrices = [weight for weight in every if is_matrix(weight)]
        rest = [weight for weight in every if not is_matrix(weight)]
        shared = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "betas": betas}
        groups = [{"params": matrices, "matrix": True}, {"params": rest, "matrix": False, "share": adam_share}]
        super().__init__(groups, {**shared, "share": 1.0})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """One update; a closure is not supported."""
        for group in self.param_groups:
            advance = self._advance_matrix if group["matrix"] else self._advance_rest
            for weight in group["params"]:
                if weight.grad is not None:
                    advance(weight, weight.grad, group)

    def _advance_matrix(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(gradient, 1 - group["momentum"])
        direction = gradient.lerp(momentum, group["momentum"]).flatten(1)
        rows, columns = direction.shape
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        update = orthogonalize(direction, self.dtype).view_as(weight)
        weight.add_(update, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _advance_rest(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[weight], group["betas"]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        step = float(state["step"])
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        scale = (state["square"] / (1 - beta2**step)).sqrt_().add_(1e-8)
        weight.addcdiv_(state["mean"], scale, value=-group["lr"] * group["share"] / (1 - beta1**step))


def is_matrix(weight: Tensor) -> bool:
    """Whether orthogonalising makes sense: at least 8 rows and 8 input channels."""
    return weight.ndim > 1 and min(weight.shape[:2]) >= 8


def orthogonalize(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Nearest matrix with equal singular values, approximately: they end between 0.7 and 1.2.

    Args:
        matrix: (rows, columns).
        dtype: Type to compute in.
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    is_tall = x.shape[0] > x.shape[1]
    if is_tall:
        x = x.T
    x = x.to(dtype)
    for _ in range(STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if is_tall else x).to(matrix.dtype)
