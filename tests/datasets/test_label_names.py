"""Labels of different data sets meet under one name."""

from __future__ import annotations

import pytest

from autoseg.datasets.label_names import SYNONYMS, canonical
from dataset_conversion.amos import ORGANS


@pytest.mark.parametrize(
    ("name", "common"),
    [
        ("arota", "aorta"), ("postcava", "inferior_vena_cava"), ("Gall Bladder", "gallbladder"), ("cancer", "tumor"),
        ("Tumour", "tumor"), ("liver tumour", "tumor"), ("WT", "whole_tumor"), ("rightKidney", "right_kidney"),
        ("Left-Kidney", "left_kidney"), ("something else", "something_else"),
    ],
)  # fmt: skip
def test_canonical(name: str, common: str) -> None:
    assert canonical(name) == common


def test_no_name_means_two_things() -> None:
    others = [other for names in SYNONYMS.values() for other in names]
    assert len(set(others)) == len(others)
    assert not set(others) & set(SYNONYMS)
    for name in (*SYNONYMS, *others):
        assert canonical(canonical(name)) == canonical(name)


def test_abdominal_sets_share_organs() -> None:
    assert {canonical(name) for name in ORGANS} >= {"liver", "spleen", "right_kidney", "left_kidney", "aorta"}
