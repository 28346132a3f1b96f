"""Soft Dice plus cross-entropy for exclusive classes: nnU-Net's default (Isensee et al., Nature Methods 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace

if TYPE_CHECKING:
    from torch import Tensor

    from autoseg.losses._overlap import Loss


class Options(BaseModel):
    """Options of Dice + cross-entropy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight_ce: float = Field(default=1.0, ge=0)
    """Weight of the cross-entropy."""
    weight_dice: float = Field(default=1.0, ge=0)
    """Weight of the Dice."""
    smooth: float = Field(default=1e-5, ge=0)
    """Added to numerator and denominator of the Dice."""
    with_background: bool = False
    """Whether background counts in the Dice."""


def check(options: Options, *, space: LabelSpace) -> None:  # noqa: ARG001 - whatever the options
    """Refuse regions, which are not exclusive.

    Raises:
        SpecError: The labels are regions.
    """
    if space.is_regions:
        raise SpecError("loss 'dice_ce' is for exclusive classes, these labels are regions", "choose 'dice_bce'")


def build(options: Options, *, space: LabelSpace, batch_dice: bool) -> Loss:
    """Loss of logits (B, C, *S), target (B, 1, *S) and mask (B, 1, *S) or None: w_ce * CE - w_dice * Dice.

    Raises:
        SpecError: When the labels are regions, which are not exclusive.
    """
    check(options, space=space)
    from autoseg.losses._entropy import cross_entropy
    from autoseg.losses._overlap import class_sums, soft_dice

    def loss(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        # One log-softmax serves both terms. Half precision logits are widened first: sums over 1e6 voxels need it.
        logs = logits.float().log_softmax(1)  # (B, C, *S)
        sums = class_sums(logs.exp(), target, mask, with_background=options.with_background)
        dice = soft_dice(sums, batch_dice=batch_dice, smooth=options.smooth)
        return options.weight_ce * cross_entropy(logs, target, mask) - options.weight_dice * dice

    return loss
