"""From network output and labels to a loss and to counts: the one place that knows classes from regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch

from autoseg.core.labels import LabelSpace
from autoseg.losses import losses
from autoseg.losses._deep_supervision import DeepSupervision, deep_supervision_weights
from autoseg.losses._overlap import online_counts
from autoseg.losses._partial import Annotated, annotated_logits, annotated_space, samples_by_annotation
from autoseg.losses._targets import make_targets
from autoseg.specs.document import Component

Outputs = torch.Tensor | Sequence[torch.Tensor]
"""Logits (B, heads, *S), or one such per decoder level, finest first."""


class Objective:
    """Loss and pseudo-Dice counts.

    Args:
        component: Registered loss, or None for Dice with cross-entropy (classes) or binary cross-entropy (regions).
        space: Classes or regions.
        batch_dice: Pool the soft Dice over the batch.
        levels: Outputs of the network under deep supervision; 1 when it is off.
    """

    def __init__(self, component: Component | None, *, space: LabelSpace, batch_dice: bool, levels: int) -> None:
        self.space = space
        self._made_from = (component, batch_dice, levels)
        chosen = component or Component(name="dice_bce" if space.is_regions else "dice_ce")
        single = losses.build(chosen.name, chosen.options, space=space, batch_dice=batch_dice)
        self._single: Any = single
        self._deep = DeepSupervision(single, deep_supervision_weights(levels)) if levels > 1 else None
        self._parts: dict[tuple[str, ...], Objective] = {}

    def loss(
        self, outputs: Outputs, labels: torch.Tensor, annotated: Sequence[Annotated] | None = None
    ) -> torch.Tensor:
        """Scalar loss.

        Args:
            outputs: Logits.
            labels: (B, 1, *S) integer labels; -1 is outside of the volume.
            annotated: Labels that each sample annotates; None where all annotate all. Samples that annotate the same
                are judged together, as in a data set without other labels, and count by their number.
        """
        if annotated is not None:
            total = sum(
                part.loss(own, labels[rows]) * (len(rows) / len(annotated))
                for _, rows, part, own in self._split(outputs, annotated)
            )
            return cast(torch.Tensor, total)
        if self._deep is not None and not isinstance(outputs, torch.Tensor):
            return self._deep(outputs, labels, self.space)
        logits = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
        target, mask = make_targets(labels, self.space)
        loss: torch.Tensor = self._single(logits, target, mask)
        return loss

    def counts(
        self, outputs: Outputs, labels: torch.Tensor, annotated: Sequence[Annotated] | None = None
    ) -> torch.Tensor:
        """(foreground targets, 3) int64: true positives, false positives, false negatives where annotated."""
        logits = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
        if annotated is not None:
            total = torch.zeros(len(self.space.names), 3, dtype=torch.int64, device=logits.device)
            for targets, rows, part, own in self._split(logits, annotated):
                total[targets] += part.counts(own, labels[rows])
            return total
        target, mask = make_targets(labels, self.space)
        return torch.stack(online_counts(logits, target, mask), dim=-1)

    def _split(
        self, outputs: Outputs, annotated: Sequence[Annotated]
    ) -> list[tuple[list[int], list[int], Objective, Outputs]]:
        """Per group of samples: places of its targets, places of its samples, its judge and its logits."""
        found: list[tuple[list[int], list[int], Objective, Outputs]] = []
        for names, rows in samples_by_annotation(annotated).items():
            part = self if names is None else self._part(names)
            targets = [self.space.names.index(name) for name in part.space.names]
            levels = [outputs] if isinstance(outputs, torch.Tensor) else outputs
            own = [
                level[rows] if names is None else annotated_logits(level[rows], self.space, names) for level in levels
            ]
            found.append((targets, rows, part, own[0] if isinstance(outputs, torch.Tensor) else own))
        return found

    def _part(self, names: tuple[str, ...]) -> Objective:
        """The same objective for some of the labels."""
        if names not in self._parts:
            component, batch_dice, levels = self._made_from
            space = annotated_space(self.space, names)
            self._parts[names] = Objective(component, space=space, batch_dice=batch_dice, levels=levels)
        return self._parts[names]
