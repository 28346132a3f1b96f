"""Documents are strict, say where they are wrong, and survive the disk."""

import json

import pytest

from autoseg.core.errors import SpecError
from autoseg.specs.dataset import Dataset
from autoseg.specs.method import Method
from autoseg.specs.report import Score
from autoseg.specs.splits import Fold, Splits

DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1},
    "numTraining": 3,
    "file_ending": ".nii.gz",
    "release": "of another program",
}


def test_unknown_keys_of_the_shared_format_are_kept_out():
    assert Dataset.parse(DATASET, "dataset.json").channels() == ("CT",)


def test_nothing_is_written_for_what_is_not_given(tmp_path):
    # nnU-Net v2 takes the key "dataset" alone, even with null, for an explicit map of cases.
    Dataset.parse(DATASET, "dataset.json").save(tmp_path / "dataset.json")
    written = json.loads((tmp_path / "dataset.json").read_text())
    assert None not in written.values()
    assert "dataset" not in written


def test_an_undefined_score_is_written_as_null():
    assert json.loads(Score(value=None, reason="empty").model_dump_json()) == {"value": None, "reason": "empty"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "trian": {}}, "unknown key 'trian': did you mean 'train'"),
        ({"name": "x", "plan": {"region": {"margin": 3.0}}}, "'plan.region.margin': did you mean 'margin_mm'"),
        ({"name": "x", "train": {"optimizer": {"learnin_rate": 1}}}, "did you mean 'learning_rate'"),
        ({"name": "x", "train": {"epochs": "many"}}, "'train.epochs': found 'many'"),
        ({}, "key 'name' is missing"),
        ({"name": "x", "schema_version": 99}, "newer than this autoseg: update"),
    ],
)
def test_mistakes_name_their_place(values, message):
    with pytest.raises(SpecError, match=message):
        Method.parse(values, "method.toml")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("a.json", "{", "not valid JSON"), ("a.toml", "a = ", "not valid TOML"), ("b.json", None, "cannot read")],
)
def test_unreadable_files_are_named(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=message):
        Method.load(tmp_path / name)


def test_channels_are_numbered_from_zero():
    with pytest.raises(SpecError, match='number them "0", "1"'):
        Dataset.parse({**DATASET, "channel_names": {"1": "CT"}}, "dataset.json").channels()


def test_the_digest_follows_values_and_order():
    first = Method(name="a")
    assert first.digest() == Method(name="a").digest()
    assert first.digest() != Method(name="b").digest()
    labels = [
        Dataset.parse({**DATASET, "labels": order}, "")
        for order in ({"background": 0, "a": 1, "b": 2}, {"background": 0, "b": 2, "a": 1})
    ]
    assert labels[0].digest() != labels[1].digest()


def test_folds_by_name():
    splits = Splits(origin="test", folds=(Fold(train=("a",), val=("b",)), Fold(train=("b",), val=("a",))))
    assert splits.fold("1").val == ("a",)
    assert splits.fold("all") == Fold(train=("a", "b"), val=("a", "b"))
    with pytest.raises(SpecError, match="there is no fold '2'"):
        splits.fold("2")
