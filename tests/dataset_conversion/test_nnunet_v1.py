"""nnU-Net v1's raw tasks: channels by suffix, labels turned round, overlap groups by case number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.io.raw import RawDataset
from autoseg.stages import convert

V1 = load_converter("nnunet_v1")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return V1.example(tmp_path / "s")


def test_files_and_names(source: Path, tmp_path: Path) -> None:
    labels = source / "labelsTs"
    labels.mkdir()
    (labels / "three.nii.gz").write_bytes((source / "labelsTr" / "one.nii.gz").read_bytes())
    folder = convert.run(convert.Options("nnunet_v1", source, id=1, workers=1), Workspace(tmp_path / "w"))
    dataset = RawDataset.open(folder)
    assert folder.name == "Dataset001_Example"
    assert dataset.spec.channels() == ("T1", "T2")
    assert dataset.spec.labels == {"background": 0, "organ": 1, "lesion": 2}
    assert [case.case_id for case in dataset.training] == ["one", "two_part"]
    assert dataset.test[0].label is not None
    for case in dataset.training:
        for image in case.images:
            assert image.read_bytes() == (source / "imagesTr" / image.name).read_bytes()


@pytest.mark.parametrize(
    ("task", "case", "group"),
    [
        ("Task029_LITS", "train_28", "lits-28"),
        ("Task003_Liver", "liver_130", "lits-130"),
        ("Task003_Liver", "liver_131", None),
        ("Task555_Other", "train_28", None),
        ("Task048_KiTS_clean", "case_00007", "kits-00007"),
        ("Task082_BraTS2021", "BraTS2021_00007", "brats-gli-00007-000"),
    ],
)
def test_overlap_groups(source: Path, task: str, case: str, group: str | None) -> None:
    renamed = source.rename(source.parent / task)
    for channel in ("0000", "0001"):
        (renamed / "imagesTs" / f"{case}_{channel}.nii.gz").touch()
    found = {item.case_id: item.provenance.overlap_group for item in V1.cases(renamed)}
    assert found[case] == group


def test_wrong_layouts(source: Path) -> None:
    images = source / "imagesTr"
    (images / "one_0001.nii.gz").rename(images / "one_0002.nii.gz")
    with pytest.raises(DatasetError, match=r"one has the channels 0000, 0002, dataset\.json names 2"):
        V1.cases(source)
    (images / "one_0002.nii.gz").rename(images / "one_0001.nii.gz")
    (source / "labelsTr" / "one.nii.gz").rename(source / "labelsTr" / "other.nii.gz")
    with pytest.raises(DatasetError, match=r"one_0000\.nii\.gz has no label in labelsTr"):
        V1.cases(source)
    for channel in ("0000", "0001"):
        (images / f"one_{channel}.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"other\.nii\.gz has no image in imagesTr"):
        V1.cases(source)
    (source / "labelsTr" / "other.nii.gz").unlink()
    (source / "labelsTr" / "two_part.nii.gz").unlink()
    for path in images.iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="no images in"):
        V1.cases(source)
    assert not V1.recognises(source)


def test_wrong_dataset_json(source: Path) -> None:
    path = source / "dataset.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "modality": {"0": "T1", "2": "T2"}}))
    with pytest.raises(DatasetError, match=r"modality has the keys \[0, 2\]: number from 0"):
        V1.dataset(source)
    path.write_text(json.dumps({"labels": {}}))
    with pytest.raises(DatasetError, match=r"is not nnU-Net v1's"):
        V1.dataset(source)
    path.write_text("{")
    assert not V1.recognises(source)
