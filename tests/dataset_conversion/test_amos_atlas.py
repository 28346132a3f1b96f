"""AMOS22 and ATLAS 2023: modality by number, labelled validation cases, names that differ between image and label."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.io.raw import RawDataset
from autoseg.stages import convert

AMOS, ATLAS = load_converter("amos"), load_converter("atlas")


def _convert(name: str, source: Path, root: Path, **options: str) -> RawDataset:
    given = convert.Options(name, source, id=1, workers=1, options=tuple(options.items()))
    return RawDataset.open(convert.run(given, Workspace(root)))


@pytest.mark.parametrize(
    ("options", "channel", "training", "test"),
    [
        ({}, "CT", ["amos_0001", "amos_0004"], {"amos_0002": False, "amos_0008": True}),
        ({"validation": "train"}, "CT", ["amos_0001", "amos_0004", "amos_0008"], {"amos_0002": False}),
        ({"modality": "mr"}, "MRI", ["amos_0507"], {}),
        (
            {"modality": "both"},
            "CT_or_MRI",
            ["amos_0001", "amos_0004", "amos_0507"],
            {"amos_0002": False, "amos_0008": True},
        ),
    ],
)
def test_amos_tasks(
    tmp_path: Path, options: dict[str, str], channel: str, training: list[str], test: dict[str, bool]
) -> None:
    dataset = _convert("amos", AMOS.example(tmp_path / "s"), tmp_path / "w", **options)
    assert dataset.spec.channels() == (channel,)
    assert [case.case_id for case in dataset.training] == training
    assert {case.case_id: case.label is not None for case in dataset.test} == test
    assert list(dataset.spec.labels.values()) == list(range(16))
    assert dataset.spec.labels["aorta"] == 8


def test_amos_wrong_layouts(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no imagesTr/amos_NNNN\.nii\.gz in"):
        AMOS.cases(tmp_path)
    source = AMOS.example(tmp_path / "s")
    image = source / "imagesTr" / "amos_0001.nii.gz"
    image.rename(source / "imagesTr" / "amos_0003.nii.gz")
    with pytest.raises(DatasetError, match=r"amos_0003\.nii\.gz has no label in labelsTr"):
        AMOS.cases(source)
    (source / "imagesTr" / "amos_0003.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"amos_0001\.nii\.gz has no image in imagesTr"):
        AMOS.cases(source)
    for folder in ("imagesTr", "labelsTr"):
        (source / folder / "amos_0507.nii.gz").unlink()
    with pytest.raises(DatasetError, match="has no MR scans: choose another modality"):
        AMOS.with_options({"modality": "mr"}).cases(source)


def test_atlas_pairs_by_number(tmp_path: Path) -> None:
    source = ATLAS.example(tmp_path / "s")
    dataset = _convert("atlas", source / "train", tmp_path / "w")
    assert [case.case_id for case in dataset.training] == ["im0", "im10"]
    assert dataset.spec.labels == {"background": 0, "liver": 1, "tumor": 2}
    (source / "train" / "imagesTr" / "im10.nii.gz").rename(source / "train" / "imagesTr" / "im11.nii.gz")
    with pytest.raises(DatasetError, match=r"im11\.nii\.gz has no lb11 in labelsTr"):
        ATLAS.cases(source)
    (source / "train" / "imagesTr" / "im11.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"lb10\.nii\.gz has no image in imagesTr"):
        ATLAS.cases(source)
    with pytest.raises(DatasetError, match=r"no imagesTr/imN\.nii\.gz in"):
        ATLAS.cases(tmp_path / "gone")
