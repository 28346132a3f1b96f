"""When the score stops rising the rate falls, and at last the run ends."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from autoseg.specs.method import OptimizerChoice, PlateauChoices
from autoseg.specs.run import Schedule
from autoseg.training.plateau import Plateau
from autoseg.training.schedule import learning_rate

RULES = PlateauChoices(min_delta=0.01, factor=0.5, patience=2, cooldown=0, minimum=0.0)


def scales(scores, rules, rate=1.0):
    plateau = Plateau()
    found = []
    for score in scores:
        plateau.record(score, rules, learning_rate=rate)
        found.append(plateau.scale)
    return found


def test_the_rate_falls_after_patience_epochs_without_progress():
    assert scales([0.5, 0.5, 0.5, 0.5, 0.5, 0.9, 0.9], RULES) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_a_rise_within_min_delta_is_no_progress_and_does_not_raise_the_bar():
    assert scales([0.5, 0.508, 0.509], RULES) == [1, 1, 0.5]
    assert scales([0.5, 0.508, 0.516], RULES) == [1, 1, 1], "above the best that was progress"


def test_epochs_of_the_cooldown_do_not_count():
    rules = RULES.model_copy(update={"patience": 1, "cooldown": 3})
    assert scales([0.5] * 9, rules) == [1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]


def test_the_minimum_is_reached_and_kept():
    rules = RULES.model_copy(update={"patience": 1, "minimum": 0.02})
    found = [0.1 * scale for scale in scales([0.5] * 6, rules, rate=0.1)]
    assert found == pytest.approx([0.1, 0.05, 0.025, 0.02, 0.02, 0.02])
    assert scales([0.5] * 3, rules, rate=0.0) == [1, 1, 1]


@given(st.lists(st.floats(0, 1), max_size=40), st.integers(1, 4), st.integers(0, 3))
def test_the_rate_never_rises_and_falls_at_most_once_per_patience(scores, patience, cooldown):
    rules = RULES.model_copy(update={"patience": patience, "cooldown": cooldown})
    found = scales(scores, rules)
    assert found == sorted(found, reverse=True)
    falls = [index for index, (old, new) in enumerate(itertools.pairwise([1.0, *found])) if new < old]
    # The last epoch of a cooldown counts again.
    assert all(second - first >= patience + max(0, cooldown - 1) for first, second in itertools.pairwise(falls))


@given(st.lists(st.sampled_from([0.1, 0.2, 0.205, 0.3, 0.305, 0.6]), max_size=40), st.integers(1, 4), st.integers(0, 4))
def test_torchs_scheduler_agrees(scores, patience, cooldown):
    """torch counts patience from 0; Keras, and we, count the last epoch of a cooldown again, torch does not."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "max", 0.5, patience - 1, 0.01, "abs", cooldown=max(0, cooldown - 1), min_lr=0.2, eps=0
    )
    expected = []
    for score in scores:
        theirs.step(score)
        expected.append(optimizer.param_groups[0]["lr"])
    rules = RULES.model_copy(update={"patience": patience, "cooldown": cooldown, "minimum": 0.2})
    assert scales(scores, rules) == expected


def test_the_end_comes_after_so_many_epochs_whatever_the_schedule():
    rules = RULES.model_copy(update={"stop_after": 3})
    plateau, ended = Plateau(), []
    for score in (0.1, 0.3, 0.3, 0.2, 0.5, 0.4, 0.4, 0.4):
        plateau.record(score, rules, learning_rate=1.0)
        ended.append(plateau.is_over(rules))
    assert ended == [False] * 7 + [True]
    assert not plateau.is_over(RULES)


def test_only_the_schedule_of_that_name_follows():
    schedule = Schedule(epochs=10, iterations_per_epoch=10, validation_iterations=1)
    for name, expected in (("plateau", 0.05), ("constant", 0.2)):
        choice = OptimizerChoice(learning_rate=0.2, schedule=name, warmup_share=0.0)
        assert learning_rate(choice, schedule, 50, scale=0.25) == expected
    rising = OptimizerChoice(learning_rate=0.2, schedule="plateau", warmup_share=0.1)
    assert learning_rate(rising, schedule, 4, scale=1.0) == pytest.approx(0.1)


@pytest.mark.parametrize("values", [{"factor": 1.0}, {"patience": 0}, {"stop_after": 0}, {"min_delta": -1.0}])
def test_rules_that_make_no_sense_are_refused(values):
    with pytest.raises(ValidationError, match=next(iter(values))):
        PlateauChoices(**values)
