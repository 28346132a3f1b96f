"""KiTS: which year a folder is of, axes kept, images that were never downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.io.images import read_image
from autoseg.io.raw import RawDataset
from autoseg.stages import convert
from dataset_conversion.kits import write_example

KITS = load_converter("kits")


def _convert(source: Path, root: Path, **options: str) -> RawDataset:
    given = convert.Options("kits", source, id=1, workers=1, options=tuple(options.items()))
    return RawDataset.open(convert.run(given, Workspace(root)))


def test_years(tmp_path: Path) -> None:
    write_example(tmp_path / "kits19" / "data", 0)
    first = KITS.dataset(tmp_path / "kits19")
    assert (first.name, first.scoring, first.submission) == ("KiTS2019", "kits19", "kits19")
    assert KITS.dataset(tmp_path / "kits19").labels == {"background": 0, "kidney_and_masses": (1, 2), "tumor": 2}
    write_example(tmp_path / "a", 0, label="aggregated_MAJ_seg")
    assert KITS.dataset(tmp_path / "a").name == "KiTS2021"
    case = write_example(tmp_path / "b", 0)
    with pytest.raises(DatasetError, match=r"could be KiTS of 2019 or of 2023: say --edition 2019"):
        KITS.dataset(tmp_path / "b")
    (case / "instances").mkdir()
    assert KITS.dataset(tmp_path / "b").name == "KiTS2023"
    assert KITS.dataset(tmp_path / "b").regions_class_order == (1, 3, 2)
    assert KITS.with_options({"edition": "2021"}).dataset(tmp_path / "b").name == "KiTS2021"
    plain = KITS.with_options({"labels": "plain"}).dataset(tmp_path / "b")
    assert (plain.labels, plain.regions_class_order) == ({"background": 0, "kidney": 1, "tumor": 2, "cyst": 3}, None)


def test_slices_first_axes_are_kept(tmp_path: Path) -> None:
    source = KITS.example(tmp_path / "s")
    dataset = _convert(source, tmp_path / "w")
    written = dataset.training[0].images[0]
    assert written.read_bytes() == (source / "dataset" / "case_00000" / "imaging.nii.gz").read_bytes()
    assert read_image(written).geometry.spacing_mm == pytest.approx((0.8, 0.8, 3.0), abs=1e-6)
    assert dataset.spec.provenance["case_00400"].overlap_group == "kits-00400"


def test_held_out_cases_of_2019(tmp_path: Path) -> None:
    write_example(tmp_path / "kits19", 0)
    held_out = write_example(tmp_path / "kits19", 210, label=None)
    # The year without cysts must not have a label 3.
    with pytest.raises(DatasetError, match="holds the label 3, known are 0, 1, 2"):
        _convert(tmp_path / "kits19", tmp_path / "w")
    cases = {case.case_id: case.split for case in KITS.cases(tmp_path / "kits19")}
    assert cases == {"case_00000": "train", "case_00210": "test"}
    held_out.rename(held_out.parent / "case_00209")
    with pytest.raises(DatasetError, match="case_00209 has no segmentation"):
        KITS.cases(tmp_path / "kits19")


def test_wrong_layouts(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no folders case_00000 in"):
        KITS.cases(tmp_path)
    case = write_example(tmp_path / "kits23", 400)
    (case / "imaging.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"case_00400 has no imaging\.nii\.gz: images are downloaded apart"):
        KITS.cases(tmp_path / "kits23")


def test_example_has_all_labels(tmp_path: Path) -> None:
    case = write_example(tmp_path, 0)
    assert set(np.unique(read_image(case / "segmentation.nii.gz").array)) == {0, 1, 2, 3}
