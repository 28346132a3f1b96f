"""Networks by name: `build(options, topology, channels, heads) -> nn.Module`, and their cost (layer 3).

The component files import torch only inside `build`, so that options can be validated and costs computed by commands
that never touch torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoseg.core.registry import Registry
from autoseg.networks._cost import Cost
from autoseg.specs.plan import Topology

networks = Registry(__name__, "network")


def cost(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    topology: Topology,
    patch_size_voxels: tuple[int, ...],
    channels: int,
    heads: int,
) -> Cost:
    """Cost of a registered network on one patch, as arithmetic: nothing is built and torch is not imported.

    Args:
        name: Registry name.
        options: Options of that network.
        topology: Depth, widths, strides, kernels.
        patch_size_voxels: (z, y, x) or (y, x); divisible by the product of the strides.
        channels: Input channels, with those of a cascade.
        heads: Output channels.

    Raises:
        RegistryError: Unknown network or option.
    """
    module = networks.load(name)
    result: Cost = module.cost(
        networks.options(name, options),
        topology=topology,
        patch_size_voxels=patch_size_voxels,
        channels=channels,
        heads=heads,
    )
    return result
