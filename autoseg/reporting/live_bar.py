"""A bar that is drawn while something runs and gone afterwards."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn


class LiveBar:
    """Context in which a bar is alive: what is done, how much of it, further columns.

    Args:
        columns: After the count and before the end.
        console: Where to draw.
        shown: Whether anything is drawn.
        left: Time that remains.
    """

    def __init__(self, *columns: ProgressColumn, console: Console, shown: bool, left: ProgressColumn) -> None:
        fixed = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        clock = (TimeElapsedColumn(), TextColumn("left"), left)
        self._bar = Progress(*fixed, *columns, *clock, console=console, disable=not shown, transient=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
