"""Shares of an average's members: worth it on the held-out cases, and on those that did not choose them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.inference.shares import LEAST_GAIN, Shares, choose_shares, shares_of
from autoseg.metrics.dice import RegionDice

EQUAL, FIRST, SECOND = (0.5, 0.5), (0.75, 0.25), (0.25, 0.75)
FOLDS = ("0", "0", "1", "1")


def rows(**dice: list[float]) -> dict[Shares, list[RegionDice]]:
    named = {"equal": EQUAL, "first": FIRST, "second": SECOND}
    return {named[name]: [{"organ": value} for value in values] for name, values in dice.items()}


def test_every_member_has_a_quarter_at_least() -> None:
    assert set(shares_of(2)) == {EQUAL, FIRST, SECOND}
    assert set(shares_of(3)) == {(1 / 3,) * 3, (0.5, 0.25, 0.25), (0.25, 0.5, 0.25), (0.25, 0.25, 0.5)}
    for members in (1, 2, 3, 4):
        tried = shares_of(members)
        assert tried[0] == (1 / members,) * members
        assert len(set(tried)) == len(tried)
        assert all(sum(shares) == pytest.approx(1) and min(shares) > 0 for shares in tried)


def test_what_helps_in_every_fold_is_kept() -> None:
    found = choose_shares(("2d", "3d"), rows(equal=[0.8] * 4, first=[0.7] * 4, second=[0.82, 0.83, 0.84, 0.85]), FOLDS)
    assert found.shares == SECOND
    assert found.reason == (
        "2d 0.25 : 3d 0.75 makes the mean Dice 0.8350 instead of 0.8000, and by +0.0350 where the other folds choose"
    )
    assert found.tried == {EQUAL: pytest.approx(0.8), FIRST: pytest.approx(0.7), SECOND: pytest.approx(0.835)}


def test_what_helps_by_chance_is_not() -> None:
    # Each fold likes other shares: chosen on the other fold they do harm.
    chance = rows(equal=[0.8] * 4, first=[0.9, 0.9, 0.74, 0.74], second=[0.75, 0.75, 0.84, 0.84])
    found = choose_shares(("2d", "3d"), chance, FOLDS)
    assert found.shares == EQUAL
    assert "chosen on the other folds they change it by -0.05" in found.reason


@pytest.mark.parametrize(("more", "kept"), [(0.9 * LEAST_GAIN, False), (1.1 * LEAST_GAIN, True), (0.0, False)])
def test_little_is_not_worth_it_and_ties_are_equal(more: float, kept: bool) -> None:
    found = choose_shares(("2d", "3d"), rows(equal=[0.8] * 4, first=[0.8 + more] * 4, second=[0.8] * 4), FOLDS)
    assert found.shares == (FIRST if kept else EQUAL)
    assert kept or "which is no rise by 0.001" in found.reason


def test_one_member_has_nothing_to_weigh() -> None:
    found = choose_shares(("3d",), {(1.0,): [{"organ": 0.8}]}, ("0",))
    assert (found.shares, found.reason) == ((1.0,), "there is nothing to weigh")


@given(st.lists(st.tuples(*[st.one_of(st.none(), st.floats(0, 1))] * 3), min_size=1, max_size=6))
def test_the_choice_never_scores_below_equal_shares(cases: list[tuple[float | None, ...]]) -> None:
    dice = {shares: [{"organ": case[place]} for case in cases] for place, shares in enumerate((EQUAL, FIRST, SECOND))}
    found = choose_shares(("2d", "3d"), dice, ["0"] * len(cases))
    both = [case for case in cases if None not in case]
    if len(both) == len(cases):
        assert found.tried[found.shares] >= found.tried[EQUAL]
    assert found.shares in dice
