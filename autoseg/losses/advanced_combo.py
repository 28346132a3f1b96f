"""Dice, binary cross-entropy and Focal Tversky, as Srivastava and Pandey weigh them for the liver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from autoseg.core.labels import LabelSpace
from autoseg.losses import losses

if TYPE_CHECKING:
    from autoseg.losses._overlap import Loss


class Options(BaseModel):
    """Defaults are the paper's; its smoothing is not printed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight_dice: float = Field(default=0.3, gt=0)
    """Weight of the Dice."""
    weight_bce: float = Field(default=0.3, gt=0)
    """Weight of the binary cross-entropy."""
    weight_focal_tversky: float = Field(default=0.4, gt=0)
    """Weight of the Focal Tversky term, whose exponent is gamma itself."""
    alpha: float = Field(default=0.3, ge=0)
    """Weight of the false positives."""
    beta: float = Field(default=0.7, ge=0)
    """Weight of the false negatives."""
    gamma: float = Field(default=0.75, gt=0)
    """Focus."""
    smooth: float = Field(default=1.0, ge=0)
    """Added to numerators and denominators."""


def build(options: Options, *, space: LabelSpace, batch_dice: bool) -> Loss:
    """The same as `combo` with these three terms."""
    tversky = {"alpha": options.alpha, "beta": options.beta, "gamma": options.gamma, "exponent": "gamma"}
    smooth = {"smooth": options.smooth}
    terms = [
        {"name": "dice", "weight": options.weight_dice, "options": smooth},
        {"name": "bce", "weight": options.weight_bce},
        {"name": "focal_tversky", "weight": options.weight_focal_tversky, "options": {**tversky, **smooth}},
    ]
    built: Loss = losses.build("combo", {"terms": terms}, space=space, batch_dice=batch_dice)
    return built
