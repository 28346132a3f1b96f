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
        patch_size_voxels: (z, y, x) or (y, x) of the output; divisible by the product of the strides unless the network
            has context.
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


def context_voxels(name: str, options: Mapping[str, Any] | None = None) -> tuple[int, ...] | None:
    """By how many voxels per side a network's input is larger than its output; None when they are equal.

    Args:
        name: Registry name.
        options: Options of that network.

    Raises:
        RegistryError: Unknown network or option.
    """
    voxels: tuple[int, ...] | None = getattr(networks.options(name, options), "context_voxels", None)
    return voxels
