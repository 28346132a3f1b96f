"""Progress is drawn on a terminal and taken away again; elsewhere plain lines are logged."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from autoseg.reporting.cases_view import CasesView
from autoseg.reporting.training_view import TrainingView

SHOW_CURSOR = "\x1b[?25h"


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


def console(screen: io.StringIO, *, is_terminal: bool = True) -> Console:
    return Console(file=screen, force_terminal=is_terminal, color_system=None, width=100)


def test_cases_are_counted_while_they_come(screen: io.StringIO) -> None:
    with CasesView("segmenting", total=2, console=console(screen)) as view:
        view.finished("a", 1.0)
    drawn = screen.getvalue()
    assert drawn.index("0/2") < drawn.index("1/2")
    assert "segmenting" in drawn
    assert drawn.rindex(SHOW_CURSOR) > drawn.rindex("1/2"), "the bar is gone"


def test_a_training_shows_its_loss(screen: io.StringIO) -> None:
    with TrainingView("3d_fullres fold 0", console=console(screen)) as view:
        view.updated(3, 10, 0.25)
    drawn = screen.getvalue()
    for part in ("3d_fullres fold 0", " 3/10", "loss 0.250", "left"):
        assert part in drawn


def test_one_of_several_processes_is_silent(screen: io.StringIO) -> None:
    with TrainingView("t", console=console(screen), shown=False) as view:
        view.updated(3, 10, 0.25)
    assert screen.getvalue() == ""


def test_a_bar_ends_with_an_error(screen: io.StringIO) -> None:
    with pytest.raises(ValueError, match="no"), CasesView("t", total=1, console=console(screen)):
        raise ValueError("no")
    assert SHOW_CURSOR in screen.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_off_a_terminal_every_case_is_a_line(
    screen: io.StringIO, caplog: pytest.LogCaptureFixture, is_terminal: bool
) -> None:
    caplog.set_level(logging.INFO, logger="autoseg")
    with CasesView("t", total=2, console=console(screen, is_terminal=is_terminal)) as view:
        view.finished("case_7", 1.5)
    assert (screen.getvalue() == "") is not is_terminal
    assert caplog.messages == ([] if is_terminal else ["case_7: 1.50 s (1 of 2)"])
