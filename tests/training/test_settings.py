"""What a training cannot be asked for."""

import math

import pytest

from autoseg.core.errors import SpecError
from autoseg.training.settings import TrainingSettings


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.01, math.nan])
def test_a_fraction_that_is_none_is_refused(fraction):
    with pytest.raises(SpecError, match=r"the training fraction is .*: give one above 0 and at most 1"):
        TrainingSettings(train_fraction=fraction)


def test_settings_are_handed_on():
    assert TrainingSettings(**TrainingSettings(train_fraction=0.5, seed=3).settings()) == TrainingSettings(
        train_fraction=0.5, seed=3
    )
