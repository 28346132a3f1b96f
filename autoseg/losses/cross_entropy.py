"""Cross-entropy of exclusive classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace

if TYPE_CHECKING:
    from torch import Tensor

    from autoseg.losses._overlap import Loss


class Options(BaseModel):
    """None."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def check(options: Options, *, space: LabelSpace) -> None:  # noqa: ARG001 - whatever the options
    """Refuse regions, which are not exclusive.

    Raises:
        SpecError: The labels are regions.
    """
    if space.is_regions:
        raise SpecError("loss 'cross_entropy' is for exclusive classes, these labels are regions", "choose 'bce'")


def build(options: Options, *, space: LabelSpace, batch_dice: bool) -> Loss:  # noqa: ARG001 - nothing to pool
    """Loss of logits (B, C, *S), target (B, 1, *S) and mask (B, 1, *S) or None: mean over the annotated voxels.

    Raises:
        SpecError: When the labels are regions, which are not exclusive.
    """
    check(options, space=space)
    from autoseg.losses._entropy import cross_entropy
    from autoseg.losses._overlap import widen

    def loss(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        return cross_entropy(widen(logits).log_softmax(1), target, mask)

    return loss
