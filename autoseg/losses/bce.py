"""Binary cross-entropy: of each region, or of each foreground class against all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from autoseg.core.labels import LabelSpace

if TYPE_CHECKING:
    from torch import Tensor

    from autoseg.losses._overlap import Loss


class Options(BaseModel):
    """None."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def build(options: Options, *, space: LabelSpace, batch_dice: bool) -> Loss:  # noqa: ARG001 - nothing to choose or pool
    """Loss of logits (B, C, *S), target and mask: mean over heads and annotated voxels of -log p of yes or no.

    Exclusive classes take their softmax probabilities, without the background's; with one foreground class this is
    the cross-entropy.
    """
    from autoseg.losses._entropy import as_regions, binary_terms, masked_mean
    from autoseg.losses._overlap import widen

    def loss(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        wide = widen(logits)
        asked, answer = (wide, target) if space.is_regions else as_regions(wide, target)
        return masked_mean(binary_terms(asked, answer), mask)

    return loss
