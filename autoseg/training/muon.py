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
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                advance = self._advance_matrices if group["matrix"] else self._advance_rest
                advance(weights, [weight.grad for weight in weights], group)

    def _advance_matrices(self, weights: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        """Muon; whole lists where that takes no memory of their size."""
        momenta = [self._state(weight, "momentum") for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        for weight, gradient, momentum in zip(weights, gradients, momenta, strict=True):
            direction = gradient.lerp(momentum, group["momentum"]).flatten(1)
            rows, columns = direction.shape
            update = orthogonalize(direction, self.dtype).view_as(weight)
            weight.add_(update, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _advance_rest(self, weights: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        """Adam; as lists 200 norms and biases take seven launches on a GPU instead of 1400."""
        beta1, beta2 = group["betas"]
        means, squares = ([self._state(weight, name) for weight in weights] for name in ("mean", "square"))
        steps = [self._counted(weight) for weight in weights]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        scales = torch._foreach_div(squares, [1 - beta2**step for step in steps])
        torch._foreach_sqrt_(scales)
        torch._foreach_add_(scales, 1e-8)
        rate = group["lr"] * group["share"]
        torch._foreach_addcdiv_(weights, means, scales, [-rate / (1 - beta1**step) for step in steps])

    def _counted(self, weight: Tensor) -> float:
        """Number of this update of a weight; kept on the host."""
        state = self.state[weight]
        state["step"] = state["step"] + 1 if "step" in state else torch.ones(())
        return float(state["step"])

    def _state(self, weight: Tensor, name: str) -> Tensor:
        """A moving average, which begins at zero."""
        if name not in self.state[weight]:
            self.state[weight][name] = torch.zeros_like(weight)
        found: Tensor = self.state[weight][name]
        return found


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
