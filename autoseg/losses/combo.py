"""Weighted sum of other losses by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autoseg.core.labels import LabelSpace
from autoseg.losses import caution as caution_of
from autoseg.losses import check_labels, losses

if TYPE_CHECKING:
    from torch import Tensor

    from autoseg.losses._overlap import Loss


class Term(BaseModel):
    """One loss of the sum."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Registry name."""
    weight: float = Field(default=1.0, gt=0)
    """Its weight."""
    options: dict[str, Any] = {}
    """Its options."""

    @model_validator(mode="after")
    def _checked(self) -> Term:
        losses.options(self.name, self.options)
        return self


class Options(BaseModel):
    """The losses and their weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    terms: tuple[Term, ...] = Field(default=(Term(name="dice"), Term(name="cross_entropy")), min_length=1)
    """Tables of `name`, `weight` (1) and `options`; by default Dice and cross-entropy."""


def check(options: Options, *, space: LabelSpace) -> None:
    """Refuse labels that one of the losses is not for.

    Raises:
        SpecError: Of that loss.
    """
    for term in options.terms:
        check_labels(term.name, term.options, space)


def caution(options: Options, *, samples: int) -> str | None:
    """That of the first loss which has one."""
    said = (caution_of(term.name, term.options, samples=samples) for term in options.terms)
    return next((line for line in said if line is not None), None)


def build(options: Options, *, space: LabelSpace, batch_dice: bool) -> Loss:
    """Sum of weight x loss.

    Raises:
        SpecError: One of them is not for these labels.
    """
    parts = [
        (term.weight, losses.build(term.name, term.options, space=space, batch_dice=batch_dice))
        for term in options.terms
    ]

    def loss(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        total: Tensor = sum(weight * part(logits, target, mask) for weight, part in parts)
        return total

    return loss
