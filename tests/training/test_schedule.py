"""Length and learning rate of a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.core.errors import BudgetError
from autoseg.specs.method import OptimizerChoice, TrainChoices
from autoseg.specs.run import Schedule
from autoseg.training.schedule import StepTime, average_decay, learning_rate, schedule_from_budget, schedule_from_epochs

SCHEDULE = Schedule(epochs=1000, iterations_per_epoch=250, validation_iterations=50)
NNUNET = OptimizerChoice(
    name="sgd", learning_rate=1e-2, schedule="poly", step_on="epoch", warmup_share=0.0, weight_average=0.0
)


@pytest.mark.parametrize(("epoch", "rate"), [(0, 0.01), (500, 0.01 * 0.5**0.9), (999, 0.01 * 0.001**0.9)])
def test_poly_rate_per_epoch_is_nnunets(epoch, rate):
    assert learning_rate(NNUNET, SCHEDULE, epoch * 250) == pytest.approx(rate)
    assert learning_rate(NNUNET, SCHEDULE, epoch * 250 + 249) == pytest.approx(rate)


def test_warm_up_rises_and_cosine_falls_to_zero():
    choice = OptimizerChoice(learning_rate=1.0, schedule="cosine", warmup_share=0.1)
    schedule = Schedule(epochs=1, iterations_per_epoch=100, validation_iterations=1)
    rates = [learning_rate(choice, schedule, update) for update in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3


def test_constant_rate_stays():
    choice = OptimizerChoice(learning_rate=0.3, schedule="constant", warmup_share=0.0)
    assert {learning_rate(choice, SCHEDULE, update) for update in (0, 1000, 249_999)} == {0.3}


def test_average_forgets_the_start():
    choice = OptimizerChoice(weight_average=0.99)
    assert average_decay(choice, 0) == 0.1
    assert average_decay(choice, 10**6) == 0.99


def test_epochs_given_win_over_the_method():
    schedule = schedule_from_epochs(TrainChoices(), epochs=3, iterations_per_epoch=4)
    assert (schedule.updates, schedule.validation_iterations) == (12, 1)
    with pytest.raises(BudgetError, match="must be at least 1"):
        schedule_from_epochs(TrainChoices(), epochs=0, iterations_per_epoch=None)


@given(st.floats(30, 1e5), st.floats(0.01, 2))
def test_a_budget_is_filled_but_not_exceeded(seconds, step):
    schedule = schedule_from_budget(seconds=seconds, step=StepTime(step, step), iterations_per_epoch=None)
    validation = schedule.epochs * schedule.validation_iterations * step / 3
    used = schedule.updates * step + validation
    assert used <= seconds * 1.03
    assert used >= seconds * 0.6 or schedule.epochs == 1


def test_a_budget_too_short_for_ten_updates_is_refused():
    with pytest.raises(BudgetError, match="at least ten updates"):
        schedule_from_budget(seconds=5, step=StepTime(1, 1), iterations_per_epoch=None)


def test_a_step_time_of_a_bad_moment_refuses_no_budget():
    slow = {"seconds": 24, "iterations_per_epoch": None}
    assert schedule_from_budget(**slow, step=StepTime(5, 0.2)).updates == 10
    with pytest.raises(BudgetError, match=r"a budget of 24 s holds 9 updates of 2\.5 s"):
        schedule_from_budget(**slow, step=StepTime(5, 2.5))
