"""Where a run stands: a pure state machine over losses and counts, without files, clocks or tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from autoseg.training.plateau import Plateau

AVERAGE_DECAY = 0.9
"""Weight of the past in the running mean of the pseudo Dice (nnU-Net v2)."""
SILENT_EPOCHS = 5
"""Epochs of zero recall after which a class is reported."""


@dataclass(frozen=True)
class EpochLog:
    """One line of `log.jsonl`, without times.

    Attributes:
        epoch: 0-based.
        update: Updates done at its end.
        learning_rate: Of its last update.
        train_loss: Mean over its updates.
        validation_loss: Mean over its validation batches.
        dice: Pseudo Dice per foreground target: counts pooled over the validation patches; None without voxels. Of
            whole cases where the method asks for them.
        mean_dice: Mean of the defined ones, 0 when there is none.
        average_dice: Exponential running mean of `mean_dice`.
        is_best: Whether `average_dice` is the highest so far; with whole cases, whether `mean_dice` is.
        silent: Targets whose recall has been zero for `SILENT_EPOCHS` epochs or more.
    """

    epoch: int
    update: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    dice: dict[str, float | None]
    mean_dice: float
    average_dice: float
    is_best: bool
    silent: tuple[str, ...]


@dataclass
class Progress:
    """Counters that survive a restart.

    Attributes:
        targets: Names of the foreground classes or regions.
        update: Updates done.
        losses: Training losses of the current epoch.
        average_dice: Running mean, None before the first epoch.
        best_dice: Highest of what decides `is_best`.
        zero_recall: Epochs in a row without a true positive, per target.
        elapsed_s: Time of the training loop.
        epoch_began_s: The same when the current epoch began.
        plateau: Whether the score still rises.
    """

    targets: tuple[str, ...]
    update: int = 0
    losses: list[float] = field(default_factory=list)
    average_dice: float | None = None
    best_dice: float = -1.0
    zero_recall: dict[str, int] = field(default_factory=dict)
    elapsed_s: float = 0.0
    epoch_began_s: float = 0.0
    plateau: Plateau = field(default_factory=Plateau)

    def record_update(self, loss: float) -> None:
        """Count one update."""
        self.update += 1
        self.losses.append(loss)

    def finish_epoch(
        self,
        *,
        iterations_per_epoch: int,
        learning_rate: float,
        validation_losses: list[float],
        counts: list[tuple[int, int, int]],
        volume_dice: Mapping[str, float | None] | None = None,
    ) -> EpochLog:
        """Close the epoch.

        Args:
            iterations_per_epoch: Updates per epoch.
            learning_rate: Of the last update.
            validation_losses: One per validation batch.
            counts: True positives, false positives, false negatives per target, pooled.
            volume_dice: Dice per target of whole cases, which then takes the place of the pseudo Dice; the best epoch
                is the one with the highest mean, as whole cases need no running mean to be compared.
        """
        dice = {name: _dice(*count) for name, count in zip(self.targets, counts, strict=True)}
        if volume_dice is not None:
            dice = {name: volume_dice.get(name) for name in self.targets}
        defined = [value for value in dice.values() if value is not None]
        mean = sum(defined) / len(defined) if defined else 0.0
        past = mean if self.average_dice is None else self.average_dice
        self.average_dice = AVERAGE_DECAY * past + (1 - AVERAGE_DECAY) * mean
        score = self.average_dice if volume_dice is None else mean
        is_best = score > self.best_dice
        self.best_dice = max(self.best_dice, score)
        self._count_silence(counts)
        log = EpochLog(
            epoch=self.update // iterations_per_epoch - 1,
            update=self.update,
            learning_rate=learning_rate,
            train_loss=sum(self.losses) / len(self.losses),
            validation_loss=sum(validation_losses) / max(1, len(validation_losses)),
            dice=dice,
            mean_dice=mean,
            average_dice=self.average_dice,
            is_best=is_best,
            silent=tuple(name for name in self.targets if self.zero_recall.get(name, 0) >= SILENT_EPOCHS),
        )
        self.losses = []
        return log

    def _count_silence(self, counts: list[tuple[int, int, int]]) -> None:
        for name, (true_positive, _, false_negative) in zip(self.targets, counts, strict=True):
            if true_positive:
                self.zero_recall[name] = 0
            elif false_negative:
                self.zero_recall[name] = self.zero_recall.get(name, 0) + 1

    def to_values(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Progress:
        """Inverse of `to_values`."""
        return cls(**{**values, "targets": tuple(values["targets"]), "plateau": Plateau(**values["plateau"])})


def _dice(true_positive: int, false_positive: int, false_negative: int) -> float | None:
    denominator = 2 * true_positive + false_positive + false_negative
    return 2 * true_positive / denominator if denominator else None
