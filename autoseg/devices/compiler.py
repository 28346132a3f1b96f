"""torch.compile where it pays: on CUDA. Where it cannot work, the network runs as it is."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import torch
from torch import nn

logger = logging.getLogger(__name__)
OWN_LIMIT: dict[str, Any] = (
    {"isolate_recompiles": True} if "isolate_recompiles" in inspect.signature(torch.compile).parameters else {}
)
"""Otherwise all networks of a process share one limit, and the fifth is not compiled; torch 2.13 has it."""


def accelerated(network: nn.Module, *, wanted: bool, device: torch.device) -> nn.Module | Compiled:
    """What runs a network's forward pass: compiled on CUDA where that is wanted, else the network itself."""
    return Compiled(network) if wanted and device.type == "cuda" else network


class Compiled:
    """A network whose forward pass is compiled for each shape when it is first called with it, and for no other.

    The network itself stays as it is: names of weights, mode and attributes are its own. Compilation needs Triton and a
    C compiler; where it fails, that is said once, and from then on the network runs uncompiled.

    Args:
        network: To run.
        backend: As torch names it.
    """

    def __init__(self, network: nn.Module, *, backend: Any = "inductor") -> None:
        self.network = network
        self._call: Any = torch.compile(network, backend=backend, dynamic=False, **OWN_LIMIT)

    @property
    def works(self) -> bool:
        """Whether compilation has not failed so far."""
        return self._call is not self.network

    def __call__(self, image: torch.Tensor) -> Any:
        """Outputs of the network for an image (B, C, ...)."""
        from torch._dynamo.exc import TorchDynamoException

        try:
            return self._call(image)
        except TorchDynamoException as error:
            if not self.works:
                raise
            cause = getattr(error, "inner_exception", error)
            reason = next((line for line in str(cause).splitlines() if line), type(cause).__name__)
            logger.warning("training goes on uncompiled: %s", reason)
            self._call = self.network
            return self.network(image)
