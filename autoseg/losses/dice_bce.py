"""Soft Dice plus binary cross-entropy for regions that may overlap: nnU-Net's region-based training (BraTS 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace

if TYPE_CHECKING:
    from torch import Tensor

    from autoseg.losses._overlap import Loss


class Options(BaseModel):
    """Options of Dice + binary cross-entropy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight_bce: float = Field(default=1.0, ge=0)
    """Weight of the binary cross-entropy."""
    weight_dice: float = Field(default=1.0, ge=0)
    """Weight of the Dice."""
    smooth: float = Field(default=1e-5, ge=0)
    """Added to numerator and denominator of the Dice."""


def check(options: Options, *, space: LabelSpace) -> None:  # noqa: ARG001 - whatever the options
    """Refuse exclusive classes, of which background is one.

    Raises:
        SpecError: The labels are no regions.
    """
    if not space.is_regions:
        raise SpecError("loss 'dice_bce' is for regions, these labels are exclusive classes", "choose 'dice_ce'")


def build(options: Options, *, space: LabelSpace, batch_dice: bool) -> Loss:
    """Loss of logits (B, R, *S), target (B, R, *S) bool and mask (B, 1, *S) or None: w_bce * BCE - w_dice * Dice.

    Raises:
        SpecError: When the labels are exclusive classes.
    """
    check(options, space=space)
    # Imported here so that options can be validated without torch.
    from autoseg.losses._overlap import class_sums, soft_dice

    def loss(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        wide = logits.float()
        sums = class_sums(wide.sigmoid(), target, mask, with_background=True)
        dice = soft_dice(sums, batch_dice=batch_dice, smooth=options.smooth)
        return options.weight_bce * _binary_cross_entropy(wide, target, mask) - options.weight_dice * dice

    return loss


def _binary_cross_entropy(logits: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over regions and voxels; with a mask, the sum over regions per annotated voxel, as nnU-Net v2 does."""
    from autoseg.losses._entropy import binary_terms

    terms = binary_terms(logits, target)  # (B, R, *S)
    if mask is None:
        return terms.mean()
    return (terms * mask).sum() / mask.sum().clamp_min(1)
