"""How many updates a run still has: fixed, or what a time budget leaves room for."""

from __future__ import annotations

from autoseg.specs.run import Schedule


class Pace:
    """Number of updates of a run, and where each of them lies in the planned schedule.

    Without a time budget both are those of the schedule. With one, the number is corrected after every epoch by the
    time that the epoch took: a machine that slows down, or a step time that was measured in a bad moment, changes the
    number of updates, while the learning rate still falls to its end within the budget.

    Args:
        schedule: Planned length.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.updates = schedule.updates
        self._update, self._position = 0, 0.0

    def correct(self, update: int, *, elapsed_s: float, epoch_s: float) -> None:
        """Plan the rest of a run with a time budget anew.

        Args:
            update: Updates done.
            elapsed_s: Time of the training loop so far.
            epoch_s: Time that an epoch takes now, validation included.
        """
        budget = self.schedule.time_budget_s
        if budget is None:
            return
        per_epoch = self.schedule.iterations_per_epoch
        left = max(0.0, budget - elapsed_s) / epoch_s * per_epoch
        # Half an epoch that was interrupted is finished first, so that a run ends with an epoch.
        epochs = max(int(update + left) // per_epoch, -(-update // per_epoch))
        spent = min(1.0, elapsed_s / budget) * self.schedule.updates
        # Never back: on a machine that speeds up the rate waits for the clock instead of rising.
        self._update, self._position = update, max(spent, self._reached(update))
        self.updates = epochs * per_epoch

    def position(self, update: int) -> int:
        """Update of the planned schedule, 0-based, whose learning rate an update takes."""
        # The tolerance keeps whole numbers whole where the run goes as planned.
        return min(self.schedule.updates - 1, int(self._reached(update) + 1e-6))

    def _reached(self, update: int) -> float:
        share = (update - self._update) / max(1, self.updates - self._update)
        return self._position + share * (self.schedule.updates - self._position)
