"""The order of labels is the order of heads: it must survive the disk."""

from __future__ import annotations

from pathlib import Path

from autoseg.specs.dataset import Dataset


def test_label_order_survives_saving(tmp_path: Path) -> None:
    spec = Dataset(
        channel_names={"0": "MR"},
        labels={"background": 0, "whole": (1, 2, 3), "core": (2, 3), "enhancing": 3},
        regions_class_order=(1, 2, 3),
        numTraining=1,
        file_ending=".nii.gz",
    )
    spec.save(tmp_path / "dataset.json")
    assert Dataset.load(tmp_path / "dataset.json").label_space() == spec.label_space()
    assert spec.label_space().names == ("whole", "core", "enhancing")
