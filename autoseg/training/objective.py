"""From network output and labels to a loss and to counts: the one place that knows classes from regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from autoseg.core.labels import LabelSpace
from autoseg.losses import losses
from autoseg.losses._deep_supervision import DeepSupervision, deep_supervision_weights
from autoseg.losses._overlap import online_counts
from autoseg.losses._targets import make_targets
from autoseg.specs.document import Component


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
        chosen = component or Component(name="dice_bce" if space.is_regions else "dice_ce")
        single = losses.build(chosen.name, chosen.options, space=space, batch_dice=batch_dice)
        self._single: Any = single
        self._deep = DeepSupervision(single, deep_supervision_weights(levels)) if levels > 1 else None

    def loss(self, outputs: torch.Tensor | Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Scalar loss.

        Args:
            outputs: Logits (B, heads, *S), or one per decoder level, finest first.
            labels: (B, 1, *S) integer labels; -1 is outside of the volume.
        """
        if self._deep is not None and not isinstance(outputs, torch.Tensor):
            return self._deep(outputs, labels, self.space)
        logits = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
        target, mask = make_targets(labels, self.space)
        loss: torch.Tensor = self._single(logits, target, mask)
        return loss

    def counts(self, outputs: torch.Tensor | Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """(foreground targets, 3) int64: true positives, false positives, false negatives over the batch."""
        logits = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
        target, mask = make_targets(labels, self.space)
        return torch.stack([torch.as_tensor(part) for part in online_counts(logits, target, mask)], dim=-1).long()
