"""Gradient-optimised Dice (Ming and Xiao): small objects no longer pull harder on a voxel than large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from autoseg.core.labels import LabelSpace

if TYPE_CHECKING:
    from torch import Tensor

    from autoseg.losses._overlap import Loss, Sums


class Options(BaseModel):
    """Options of the gradient-optimised Dice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    normalize: Literal["mean", "l2", "max"] = "mean"
    """Weights of a batch average 1, have norm 1, or reach 1 (per class)."""
    power: Literal[1, 2] = 1
    """Of the union in the weights; 2 is the variant that the paper discusses and rejects."""
    smooth: float = Field(default=1e-5, ge=0)
    """Added to numerator and denominator of the Dice: without it an absent class gives no gradient."""
    with_background: bool = False
    """Whether the background of exclusive classes counts; regions have none."""


def caution(options: Options, *, samples: int) -> str | None:  # noqa: ARG001 - whatever the options
    """A line for single samples: however it is normalised, the weight of one alone is 1."""
    if samples > 1:
        return None
    return "godc weighs the samples of a batch against each other; one at a time, it is plain Dice"


def build(options: Options, *, space: LabelSpace, batch_dice: bool) -> Loss:  # noqa: ARG001 - see below
    """Loss of logits (B, C, *S), target and mask: mean over samples and heads of w (1 - Dice).

    The weights compare the samples of a batch, so that volumes are always those of a sample, whatever the plan says
    about pooling. A batch of one is plain Dice.
    """
    from autoseg.losses._overlap import class_sums, to_probabilities

    with_background = options.with_background or space.is_regions

    def loss(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        sums = class_sums(to_probabilities(logits, target), target, mask, with_background=with_background)
        return gradient_optimized_dice(sums, options)

    return loss


def gradient_optimized_dice(sums: Sums, options: Options) -> Tensor:
    """Mean of w (1 - (2 I + s) / (I + U + s)), U = P + R - I, w = U normalised within the batch.

    With IoU = I / U the Dice's gradient at a voxel of reference Y is -2 (Y - IoU (1 - Y)) / ((1 + IoU)^2 U): it falls
    with the size of the object. w takes the 1 / U away; it is a weight and not a target, so that no gradient flows
    through it (our reading). The paper prints the gradient (its eq. 7) without the factor 2 before IoU, half of what
    follows from its own (4) and (5) on background voxels; autograd gives the line above.

    Args:
        sums: I, P and R, (B, C) each.
        options: Normalisation, power, smoothing.
    """
    intersection, predicted, truth = sums
    union = predicted + truth - intersection
    dice = (2 * intersection + options.smooth) / (intersection + union + options.smooth).clamp_min(1e-8)
    return (batch_weights(union.detach(), options) * (1 - dice)).mean()


def batch_weights(union: Tensor, options: Options) -> Tensor:
    """Weights (B, C) of the unions (B, C): each class on its own, so that classes stay as important as in the Dice."""
    # At most 1 before it is raised to a power: a square of 1e7 voxels loses nothing, and no norm overflows.
    weights: Tensor = (union / union.amax(0).clamp_min(1e-8)) ** options.power
    if options.normalize == "mean":
        weights = weights / weights.mean(0).clamp_min(1e-8)
    elif options.normalize == "l2":
        weights = weights / weights.square().sum(0).sqrt().clamp_min(1e-8)
    return weights
