"""3D-IRCADb-01 as NIfTI: who is who, the odd value of masks, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.datasets.conversion import Conversion
from autoseg.io.images import read_label, write_label
from autoseg.io.raw import RawDataset
from autoseg.stages import convert

NIFTI = load_converter("ircadb-nifti")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return NIFTI.example(tmp_path / "source")


def _convert(source: Path) -> RawDataset:
    workspace = Workspace(source.parent / "workspace")
    return RawDataset.open(convert.run(convert.Options("ircadb-nifti", source, workers=1), workspace))


def test_cases_are_the_patients_of_the_original(source: Path) -> None:
    mask = source / "ircad_e01_liver.nii.gz"
    labels, grid = read_label(mask)
    write_label(mask, labels * np.uint8(255), grid)
    dataset = _convert(source)
    assert [case.case_id for case in dataset.training] == ["ircadb01_01", "ircadb01_17"]
    origin = dataset.spec.provenance["ircadb01_17"]
    assert (origin.overlap_group, origin.patient) == ("lits-44", "3D-IRCADb-01 17")
    assert dataset.training[0].label is not None
    assert np.array_equal(read_label(dataset.training[0].label)[0], labels)
    warnings = Conversion.load(dataset.folder / "conversion.json").warnings
    assert "it has 10 slices, the original 119" in warnings["ircadb01_17"]


def test_what_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no ircad_eNN_orig\.nii\.gz in .*: give the folder"):
        NIFTI.cases(tmp_path / "empty")
    mask = source / "ircad_e17_liver.nii.gz"
    labels, grid = read_label(mask)
    write_label(mask, labels * np.uint8(2), grid)
    with pytest.raises(DatasetError, match=r"case ircadb01_17: .* holds the label 2, known are 0, 1, 255"):
        _convert(source)
    mask.unlink()
    with pytest.raises(DatasetError, match=r"ircad_e17_orig\.nii\.gz has no ircad_e17_liver: download it again"):
        NIFTI.cases(source)
    (source / "ircad_e17_orig.nii.gz").rename(source / "ircad_e21_orig.nii.gz")
    with pytest.raises(DatasetError, match="has no patient 21: remove the file"):
        NIFTI.cases(source)
