"""Durations as people write them."""

import pytest

from autoseg.core.durations import parse_duration_s
from autoseg.core.errors import SpecError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("20m", 1200), ("1.5h", 5400), ("1h30m", 5400), ("2 min", 120)]
)
def test_durations_are_read(text, seconds):
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "20x", "-3m", "0", "m20"])
def test_nonsense_is_refused(text):
    with pytest.raises(SpecError, match="is not a duration"):
        parse_duration_s(text)
