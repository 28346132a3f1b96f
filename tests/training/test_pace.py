"""The number of updates follows the clock, the learning rate follows the budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.specs.run import Schedule
from autoseg.training.pace import Pace


def schedule(budget_s=100.0, epochs=10):
    return Schedule(epochs=epochs, iterations_per_epoch=5, validation_iterations=1, time_budget_s=budget_s)


def drive(pace, epoch_seconds):
    """Run epochs of given lengths until the pace says stop; the positions taken and the time at the end."""
    elapsed, update, positions = 0.0, 0, []
    for seconds in epoch_seconds:
        if update >= pace.updates:
            break
        positions += [pace.position(update + step) for step in range(5)]
        update, elapsed = update + 5, elapsed + seconds
        pace.correct(update, elapsed_s=elapsed, epoch_s=seconds)
    assert update >= pace.updates
    return positions, elapsed


def test_without_a_budget_the_schedule_is_kept():
    pace = Pace(schedule(budget_s=None))
    positions, _ = drive(pace, [1e6] * 20)
    assert positions == list(range(50))


def test_as_planned_nothing_moves():
    assert drive(Pace(schedule()), [10.0] * 20) == (list(range(50)), 100.0)


@pytest.mark.parametrize(("seconds", "epochs"), [(20.0, 5), (4.0, 25), (14.0, 7)])
def test_a_wrong_estimate_is_mended(seconds, epochs):
    positions, elapsed = drive(Pace(schedule()), [seconds] * 40)
    assert len(positions) == epochs * 5
    assert 100.0 - seconds < elapsed <= 100.0
    assert positions[-1] >= 44


@given(st.lists(st.floats(1.0, 30.0), min_size=100, max_size=100))
def test_whatever_the_machine_does_the_rate_falls_and_the_budget_holds(seconds):
    positions, elapsed = drive(Pace(schedule()), seconds)
    assert positions == sorted(positions)
    assert positions[0] >= 0
    assert positions[-1] < 50
    # The last epoch is planned from the one before it.
    assert elapsed <= 100.0 + 30.0
    assert elapsed >= 100.0 - 30.0


def test_a_run_taken_up_in_the_middle_of_an_epoch_ends_with_an_epoch():
    pace = Pace(schedule())
    pace.correct(7, elapsed_s=99.9, epoch_s=10.0)
    assert pace.updates == 10
    assert [pace.position(update) for update in (7, 8, 9)] == [49, 49, 49]


def test_beyond_the_end_the_rate_stays_at_the_end():
    pace = Pace(schedule())
    pace.correct(10, elapsed_s=200.0, epoch_s=10.0)
    assert (pace.updates, pace.position(10), pace.position(11)) == (10, 49, 49)
