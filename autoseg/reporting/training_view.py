"""Show a training as it runs: a live line on a terminal, one plain line per epoch elsewhere."""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol

from rich.console import Console
from rich.progress import TextColumn, TimeRemainingColumn

from autoseg.reporting.live_bar import LiveBar

logger = logging.getLogger(__name__)


class FinishedEpoch(Protocol):
    """What is shown of an epoch (`autoseg.training.progress.EpochLog`)."""

    @property
    def epoch(self) -> int: ...
    @property
    def update(self) -> int: ...
    @property
    def train_loss(self) -> float: ...
    @property
    def validation_loss(self) -> float: ...
    @property
    def dice(self) -> dict[str, float | None]: ...
    @property
    def mean_dice(self) -> float: ...
    @property
    def silent(self) -> tuple[str, ...]: ...


class TrainingView(LiveBar):
    """Observer of a trainer.

    Args:
        title: Configuration and fold.
        console: Where to draw; None is standard error.
        shown: Whether anything is; of several processes one speaks.
    """

    def __init__(self, title: str, *, console: Console | None = None, shown: bool = True) -> None:
        self.shown = shown
        self.title = title
        self.console = console or Console(stderr=True)
        super().__init__(
            TextColumn("loss {task.fields[loss]:.3f}"),
            console=self.console,
            shown=shown and self.console.is_terminal,
            left=TimeRemainingColumn(compact=True, elapsed_when_finished=False),
        )
        self._task: Any = None
        self._first: tuple[int, float] | None = None
        self._silent: frozenset[str] = frozenset()

    def updated(self, update: int, total: int, loss: float) -> None:
        """One update is done."""
        if self._first is None:
            self._first = (update, time.monotonic())
            self._task = self._bar.add_task(self.title, total=total, loss=loss)
        self._total, self._remaining = total, self._estimate(update, total)
        self._bar.update(self._task, completed=update, total=total, loss=loss)

    def epoch_finished(self, log: FinishedEpoch, seconds: float) -> None:
        """One epoch is done."""
        if not self.shown:
            return
        dice = " ".join(f"{name} {'-' if value is None else format(value, '.3f')}" for name, value in log.dice.items())
        logger.info(
            "%s epoch %d/%d: loss %.3f, validation %.3f, pseudo Dice %.3f (%s), %.1f s, %s left",
            self.title,
            log.epoch + 1,
            self._total * (log.epoch + 1) // log.update,
            log.train_loss,
            log.validation_loss,
            log.mean_dice,
            dice,
            seconds,
            _clock(self._remaining),
        )
        # Told when it begins, not at every epoch that it lasts.
        for name in sorted(set(log.silent) - self._silent):
            logger.warning("'%s' has not been found in any validation patch for several epochs", name)
        self._silent = frozenset(log.silent)

    def _estimate(self, update: int, total: int) -> float:
        first, started = self._first or (update, time.monotonic())
        done = update - first
        return (time.monotonic() - started) / done * (total - update) if done else 0.0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
