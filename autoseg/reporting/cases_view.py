"""Show work on many cases: a live bar on a terminal, one plain line per case elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from rich.console import Console
from rich.progress import TimeRemainingColumn

from autoseg.reporting.live_bar import LiveBar

logger = logging.getLogger(__name__)


class FinishedCase(Protocol):
    """What is shown of a case (`autoseg.inference.conveyor.Finished`)."""

    @property
    def error(self) -> Exception | None: ...
    @property
    def seconds(self) -> float: ...


def follow_cases(
    title: str, finished: Iterable[tuple[str, FinishedCase]], total: int
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Show each case as it comes.

    Args:
        title: What is done with the cases.
        finished: Case id and outcome.
        total: Number of cases.

    Returns:
        Ids of the cases that went well, and why the others did not.
    """
    written, failed = [], {}
    with CasesView(title, total=total) as view:
        for case_id, outcome in finished:
            view.finished(case_id, outcome.seconds)
            if outcome.error is None:
                written.append(case_id)
            else:
                failed[case_id] = str(outcome.error)
                logger.warning("%s failed: %s", case_id, outcome.error)
    return tuple(written), failed


class CasesView(LiveBar):
    """Progress over cases.

    Args:
        title: What is done with them.
        total: Number of cases.
        console: Where to draw; None is standard error.
    """

    def __init__(self, title: str, *, total: int, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self._live = console.is_terminal
        super().__init__(console=console, shown=self._live, left=TimeRemainingColumn(compact=True))
        self._task = self._bar.add_task(title, total=total)
        self._total, self._done = total, 0

    def finished(self, case_id: str, seconds: float) -> None:
        """One case is done."""
        self._done += 1
        self._bar.advance(self._task)
        level = logging.DEBUG if self._live else logging.INFO
        logger.log(level, "%s: %.2f s (%d of %d)", case_id, seconds, self._done, self._total)
