"""Whether the validation score still rises, and what follows when it does not: pure state, kept in the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.specs.method import PlateauChoices


@dataclass
class Plateau:
    """Counters over epochs. The rules are those of Keras' `ReduceLROnPlateau` and `EarlyStopping`.

    Attributes:
        best: Highest score that was progress.
        stale: Epochs since then.
        waited: Epochs since then that count for the learning rate.
        cooling: Epochs that do not count yet.
        scale: Share of the chosen learning rate.
    """

    best: float = -1.0
    stale: int = 0
    waited: int = 0
    cooling: int = 0
    scale: float = 1.0

    def record(self, score: float, rules: PlateauChoices, *, learning_rate: float) -> None:
        """Take in the score of one epoch.

        Args:
            score: Higher is better, 0 at least.
            rules: Of the method.
            learning_rate: The chosen one, which `scale` is a share of.
        """
        # The first epoch of a cooldown is the one after the change; with the last one counting begins again.
        self.cooling = max(0, self.cooling - 1)
        if score > self.best + rules.min_delta:
            self.best, self.stale, self.waited = score, 0, 0
            return
        self.stale += 1
        if self.cooling:
            return
        self.waited += 1
        if self.waited >= rules.patience and learning_rate * self.scale > rules.minimum:
            self.scale = max(self.scale * rules.factor, rules.minimum / learning_rate)
            self.waited, self.cooling = 0, rules.cooldown

    def is_over(self, rules: PlateauChoices) -> bool:
        """Whether the run is to end."""
        return rules.stop_after is not None and self.stale >= rules.stop_after
