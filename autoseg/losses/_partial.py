"""Samples that annotate only some of the labels: they are judged as in a data set that has no others.

What such a sample calls background is background or any unannotated class. For exclusive classes the probabilities of
these are therefore added up, the marginal loss of Shi et al., Medical Image Analysis 70, 101979 (2021); regions that
are not annotated are left out. Losses know nothing of it: they get fewer heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from autoseg.core.labels import LabelSpace

Annotated = tuple[str, ...] | None
"""Names of the labels that a sample annotates; None is all of them."""


def annotated_space(space: LabelSpace, names: Sequence[str]) -> LabelSpace:
    """The label space without the other labels; `ignore` stays."""
    kept = [index for index, name in enumerate(space.names) if name in names]
    return replace(
        space,
        names=tuple(space.names[index] for index in kept),
        values=tuple(space.values[index] for index in kept),
        class_order=None if space.class_order is None else tuple(space.class_order[index] for index in kept),
    )


def annotated_logits(logits: Tensor, space: LabelSpace, names: Sequence[str]) -> Tensor:
    """Logits of the annotated heads alone.

    Args:
        logits: (B, C, *S) of all heads.
        space: What they mean.
        names: Labels that are annotated.

    Returns:
        (B, 1 + len(names), *S) for classes, float32 or wider: the background's logit becomes the log of the summed
        exponentials of all that may be in it, so that its softmax is p_background + sum of the unannotated p. For
        regions (B, len(names), *S).
    """
    kept = [index for index, name in enumerate(space.head_names) if name in names]
    if space.is_regions:
        return logits[:, kept]
    wide = logits if logits.dtype == torch.float64 else logits.float()
    others = [index for index in range(logits.shape[1]) if index not in kept]
    return torch.cat([wide[:, others].logsumexp(1, keepdim=True), wide[:, kept]], 1)


def samples_by_annotation(annotated: Sequence[Annotated]) -> dict[Annotated, list[int]]:
    """Annotated labels -> positions in the batch."""
    groups: dict[Annotated, list[int]] = {}
    for position, names in enumerate(annotated):
        groups.setdefault(names, []).append(position)
    return groups
