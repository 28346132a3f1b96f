"""A U-Net on a folded grid: neighbouring voxels become channels, so that no convolution runs at full resolution.

Folding is space-to-depth (Shi et al., CVPR 2016, run backwards) before the first convolution, and its inverse after the
last: nothing is thrown away, and the most expensive stage of a U-Net, the finest, falls away. It is what lets a CPU
train within minutes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from autoseg.networks import context_voxels, networks
from autoseg.networks import cost as cost_of
from autoseg.networks._cost import Cost
from autoseg.specs.plan import Topology

if TYPE_CHECKING:
    from autoseg.networks._blocks.folding import Folded


class Options(BaseModel):
    """What is folded, and the network inside."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fold: tuple[int, ...] = Field(default=(2, 2, 2))
    """Voxels folded per axis, (z, y, x) or (y, x); the topology lives on the folded grid."""
    network: Literal["plain_unet", "residual_encoder_unet", "resunet", "segnet"] = "plain_unet"
    """Network on the folded grid."""
    options: dict[str, Any] = {}
    """Its options."""

    @property
    def context_voxels(self) -> tuple[int, ...] | None:
        """Context of the network inside, in unfolded voxels."""
        inner = context_voxels(self.network, self.options)
        return None if inner is None else tuple(edge * step for edge, step in zip(inner, self.fold, strict=True))


def build(options: Options, *, topology: Topology, channels: int, heads: int) -> Folded:
    """Network with the weights of the inner one.

    Args:
        options: Options.
        topology: Of the inner network, on the folded grid.
        channels: Input channels.
        heads: Output channels.
    """
    from autoseg.networks._blocks.folding import Folded

    taps = math.prod(options.fold)
    inner = networks.build(
        options.network, options.options, topology=topology, channels=channels * taps, heads=heads * taps
    )
    return Folded(inner, options.fold)


def cost(
    options: Options, *, topology: Topology, patch_size_voxels: tuple[int, ...], channels: int, heads: int
) -> Cost:
    """Cost of one patch; `patch_size_voxels` is the full-resolution patch."""
    taps = math.prod(options.fold)
    folded = tuple(size // step for size, step in zip(patch_size_voxels, options.fold, strict=True))
    return cost_of(
        options.network,
        options.options,
        topology=topology,
        patch_size_voxels=folded,
        channels=channels * taps,
        heads=heads * taps,
    )


def example_options(dimensions: int) -> dict[str, Any]:
    """Options that fit 2D or 3D: two voxels per axis."""
    return {"fold": (2,) * dimensions}
