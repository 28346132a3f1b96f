"""Soft Dice alone (Milletari et al., 3DV 2016, without squares), in its usual and in a misprinted form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoseg.core.labels import LabelSpace
from autoseg.losses._pooling import OverlapOptions

if TYPE_CHECKING:
    from torch import Tensor

    from autoseg.losses._overlap import Loss


class Options(OverlapOptions):
    """Options of the soft Dice."""

    printed_form: bool = False
    """Leave out the factor 2, as Samaddar et al. (ResUNet on 3D-IRCADb-01) print it; their tables have the factor."""


def build(options: Options, *, space: LabelSpace, batch_dice: bool) -> Loss:
    """Loss of logits (B, C, *S), target and mask: 1 - (2 I + s) / (P + R + s), mean over heads (and samples).

    I is the sum of p r, P of p and R of r over the annotated voxels; p is the softmax of classes, the sigmoid of
    regions. With two classes the softmax is the sigmoid of the difference of the logits. Papers that minimise minus
    the Dice have the same gradient.
    """
    from autoseg.losses._overlap import class_sums, pool_sums, soft_dice, to_probabilities

    factor = 1 if options.printed_form else 2
    with_background = options.with_background or space.is_regions

    def loss(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        sums = class_sums(to_probabilities(logits, target), target, mask, with_background=with_background)
        pooled = pool_sums(sums, pooling=options.pooling, batch_dice=batch_dice)
        return 1 - soft_dice(pooled, smooth=options.smooth, factor=factor)

    return loss
