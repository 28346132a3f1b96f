"""Focal Tversky: false positives and negatives weighted apart, bad classes emphasised (Abraham and Khan, 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from autoseg.core.labels import LabelSpace
from autoseg.losses._pooling import OverlapOptions

if TYPE_CHECKING:
    from torch import Tensor

    from autoseg.losses._overlap import Loss


class Options(OverlapOptions):
    """Defaults are those that Buchwald et al. tried on brain tumours."""

    alpha: float = Field(default=0.7, ge=0)
    """Weight of the false positives."""
    beta: float = Field(default=0.3, ge=0)
    """Weight of the false negatives."""
    gamma: float = Field(default=4 / 3, gt=0)
    """Focus."""
    exponent: Literal["gamma", "inverse_gamma"] = "inverse_gamma"
    """1 - TI is raised to 1 / gamma (Abraham and Khan; Buchwald et al.) or to gamma (Srivastava and Pandey)."""
    smooth: float = Field(default=1.0, ge=0)
    """Added to numerator and denominator."""
    reduction: Literal["mean", "sum"] = "mean"
    """Over the classes; the papers sum, which makes the loss grow with their number. Samples are always averaged."""


def build(options: Options, *, space: LabelSpace, batch_dice: bool) -> Loss:
    """Loss of logits (B, C, *S), target and mask: (1 - TI) ** exponent, TI = (I + s) / (I + alpha FP + beta FN + s)."""
    from autoseg.losses._overlap import class_sums, pool_sums, to_probabilities

    exponent = options.gamma if options.exponent == "gamma" else 1 / options.gamma
    with_background = options.with_background or space.is_regions

    def loss(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        sums = class_sums(to_probabilities(logits, target), target, mask, with_background=with_background)
        hits, predicted, truth = pool_sums(sums, pooling=options.pooling, batch_dice=batch_dice)
        errors = options.alpha * (predicted - hits) + options.beta * (truth - hits)
        index = (hits + options.smooth) / (hits + errors + options.smooth).clamp_min(1e-8)
        # The slope of a power below 1 is infinite at 0: a perfect class stops there.
        terms = (1 - index).clamp_min(1e-7) ** exponent
        return terms.sum(-1).mean() if options.reduction == "sum" and terms.ndim else terms.mean()

    return loss
