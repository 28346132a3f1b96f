"""Folds: those of scikit-learn, and groups that stay together."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.core.errors import SpecError
from autoseg.planning.splits import chosen_folds, leaks, make_splits, read_splits, share_of_training
from autoseg.specs.dataset import Provenance
from autoseg.specs.splits import Fold

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "kfold_folds.json").read_text())["folds"]


def names(count: int) -> list[str]:
    return [f"case_{index:04d}" for index in range(count)]


@pytest.mark.parametrize("count", sorted(GOLDEN, key=int))
def test_folds_equal_scikit_learns(count: str) -> None:
    cases = names(int(count))
    splits = make_splits(list(reversed(cases)))
    assert [fold.val for fold in splits.folds] == [tuple(cases[index] for index in val) for val in GOLDEN[count]]
    for fold in splits.folds:
        assert fold.train == tuple(case for case in cases if case not in fold.val)


def test_fewer_cases_than_folds_leave_one_out() -> None:
    splits = make_splits(names(3))
    assert sorted(fold.val for fold in splits.folds) == [("case_0000",), ("case_0001",), ("case_0002",)]


@given(count=st.integers(2, 12), cases=st.integers(2, 30))
def test_every_case_is_held_out_once(count: int, cases: int) -> None:
    splits = make_splits(names(cases), folds=count)
    assert len(splits.folds) == min(count, cases)
    assert sorted(case for fold in splits.folds for case in fold.val) == names(cases)
    assert max(len(fold.val) for fold in splits.folds) - min(len(fold.val) for fold in splits.folds) <= 1
    assert chosen_folds(splits) == len(splits.folds)


def test_one_fold_holds_nothing_out() -> None:
    with pytest.raises(SpecError, match=r"1 fold\(s\) hold nothing out: give --num-folds 2 or more"):
        make_splits(names(4), folds=1)


def test_folds_of_a_file_are_nobodys_number() -> None:
    given = read_splits([{"train": ["a"], "val": ["b"]}], "splits_final.json", ["a", "b"])
    assert chosen_folds(given) is None


def test_a_single_case_trains_and_validates() -> None:
    (fold,) = make_splits(["only"]).folds
    assert fold.train == fold.val == ("only",)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=6, max_size=40))
def test_groups_never_straddle(groups: list[tuple[int, int]]) -> None:
    cases = names(len(groups))
    provenance = {
        case: Provenance(patient=f"p{patient}", overlap_group=f"o{overlap}" if overlap < 3 else None)
        for case, (patient, overlap) in zip(cases, groups, strict=True)
    }
    splits = make_splits(cases, provenance)
    assert leaks(splits, provenance) == ()
    assert sorted(case for fold in splits.folds for case in fold.val) == cases


def test_groups_are_balanced_by_cases() -> None:
    cases = names(25)
    provenance = {case: Provenance(patient="twin" if index < 5 else None) for index, case in enumerate(cases)}
    splits = make_splits(cases, provenance)
    assert [len(fold.val) for fold in splits.folds] == [5] * 5
    assert set(cases[:5]) in [set(fold.val) for fold in splits.folds]
    assert splits.origin == "grouped kfold, 21 groups(5, seed 12345)"


def test_given_folds_are_taken_as_they_are_and_leaks_are_named() -> None:
    given_folds = [{"train": ["a", "b"], "val": ["c"]}]
    splits = read_splits(given_folds, "splits_final.json", ["a", "b", "c", "d"])
    assert splits.folds[0].val == ("c",)
    provenance = {"a": Provenance(patient="x"), "c": Provenance(patient="x")}
    assert leaks(splits, provenance) == ("fold 0: patient x is on both sides",)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([{"train": ["a"], "val": ["z"]}], "unknown case 'z'"),
        ([{"train": ["a", "b"], "val": ["b"]}], "'b' trains and validates"),
        ([], "has no folds"),
        ({"train": ["a"]}, "folds"),
    ],
)
def test_bad_folds_are_refused(folds: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read_splits(folds, "splits_final.json", ["a", "b"])


@given(st.integers(1, 60), st.lists(st.floats(0.001, 1.0), min_size=2, max_size=4), st.integers(0, 99))
def test_shares_of_the_training_cases_are_nested(count: int, fractions: list[float], seed: int) -> None:
    whole = Fold(train=tuple(names(count)), val=("held out",))
    parts = [share_of_training(whole, fraction, seed=seed) for fraction in sorted(fractions)]
    for fraction, part in zip(sorted(fractions), parts, strict=True):
        assert part.val == whole.val
        assert part.train == tuple(sorted(part.train))
        assert abs(len(part.train) - max(1, fraction * count)) < 1
    for smaller, larger in itertools.pairwise(parts):
        assert set(smaller.train) <= set(larger.train) <= set(whole.train)


def test_a_share_depends_on_the_seed_and_a_whole_one_is_the_fold() -> None:
    whole = Fold(train=tuple(names(40)), val=("held out",))
    assert share_of_training(whole, 1.0, seed=3) == whole
    assert len({share_of_training(whole, 0.25, seed=seed).train for seed in range(5)}) == 5
    assert len(share_of_training(Fold(train=tuple(names(100)), val=()), 0.07, seed=0).train) == 7


def test_a_fold_that_validates_on_what_it_trains_keeps_doing_so() -> None:
    everyone = share_of_training(Fold(train=tuple(names(8)), val=tuple(names(8))), 0.5, seed=0)
    assert len(everyone.train) == 4
    assert everyone.val == everyone.train
