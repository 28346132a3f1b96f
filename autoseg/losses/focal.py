"""Focal loss: cross-entropy that fades where the network is right (Lin et al., ICCV 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from autoseg.core.labels import LabelSpace

if TYPE_CHECKING:
    from torch import Tensor

    from autoseg.losses._overlap import Loss


class Options(BaseModel):
    """Options of the focal loss."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gamma: float = Field(default=2.0, ge=0)
    """Focus; 0 is the cross-entropy."""
    alpha: float | None = Field(default=None, ge=0, le=1)
    """Weight of foreground voxels, 1 - alpha that of background; None weighs all voxels 1."""


def build(options: Options, *, space: LabelSpace, batch_dice: bool) -> Loss:  # noqa: ARG001 - nothing to pool
    """Loss of logits (B, C, *S), target and mask: mean of -(1 - p_t)^gamma log p_t.

    p_t is the probability given to what is true: of a voxel's class, or of each region's yes or no.
    """
    from autoseg.losses._entropy import binary_terms, masked_mean
    from autoseg.losses._overlap import widen

    def loss(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        wide = widen(logits)
        if space.is_regions:
            entropy, foreground = binary_terms(wide, target), target  # (B, R, *S)
        else:
            entropy, foreground = -wide.log_softmax(1).gather(1, target), target > 0  # (B, 1, *S)
        # 1 - p_t without cancellation; away from 0, where the slope of a power below 1 is infinite.
        terms = (-(-entropy).expm1()).clamp_min(1e-12) ** options.gamma * entropy
        if options.alpha is not None:
            terms = terms * (foreground * (2 * options.alpha - 1) + (1 - options.alpha))
        return masked_mean(terms, mask)

    return loss
