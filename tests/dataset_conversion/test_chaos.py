"""CHAOS: masks by file name and slices by position, two channels of T1, grey values, files that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.io.raw import RawDataset, read_case
from autoseg.stages import convert
from dataset_conversion._chaos_example import example_labels, write_ct

CHAOS = load_converter("chaos")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return CHAOS.example(tmp_path / "s")


def _convert(source: Path, root: Path, scans: str = "ct") -> RawDataset:
    given = convert.Options("chaos", source, id=1, workers=1, options=(("scans", scans),))
    return RawDataset.open(convert.run(given, Workspace(root)))


@pytest.mark.parametrize("backwards", [False, True])
def test_masks_follow_names_and_slices_positions(tmp_path: Path, backwards: bool) -> None:
    expected = write_ct(tmp_path / "s" / "Train_Sets" / "CT" / "5", 5, backwards=backwards)
    dataset = _convert(tmp_path / "s", tmp_path / "w")
    image, geometry, labels = read_case(dataset.training[0], channels=1)
    assert dataset.training[0].case_id == "ct_5"
    assert labels is not None
    assert np.array_equal(labels, expected)
    assert np.array_equal(image[0] > 0, expected == 1)
    assert geometry.spacing_mm == pytest.approx((3.0, 0.7, 0.7), abs=1e-6)


@pytest.mark.parametrize(("scans", "channels"), [("t1", ("T1_in_phase", "T1_out_phase")), ("t2", ("T2_SPIR",))])
def test_mr_has_four_organs(source: Path, tmp_path: Path, scans: str, channels: tuple[str, ...]) -> None:
    dataset = _convert(source, tmp_path / "w", scans)
    assert dataset.spec.channels() == channels
    assert [case.case_id for case in dataset.training] == [f"{scans}_1", f"{scans}_21"]
    image, _, labels = read_case(dataset.training[1], channels=len(channels))
    assert labels is not None
    assert np.array_equal(labels, example_labels())
    assert np.array_equal(image[0].astype(int) // 100, example_labels())
    assert dataset.spec.provenance[f"{scans}_21"].patient == "chaos-mr-21"


def test_held_out_scans_have_no_label(source: Path, tmp_path: Path) -> None:
    dataset = _convert(source, tmp_path / "w")
    assert [(case.case_id, case.label) for case in dataset.test] == [("ct_3", None)]


def test_wrong_layouts(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no labelled CT scans: choose others"):
        CHAOS.cases(tmp_path / "gone")
    subject = source / "Train_Sets" / "MR" / "1" / "T1DUAL"
    (subject / "DICOM_anon" / "InPhase").rename(subject / "DICOM_anon" / "Phase")
    with pytest.raises(DatasetError, match="InPhase is not there"):
        CHAOS.with_options({"scans": "t1"}).cases(source)
    ct = source / "Train_Sets" / "CT" / "1"
    (ct / "Ground").rename(ct / "ground_truth")
    with pytest.raises(DatasetError, match="has no Ground"):
        CHAOS.cases(source)


def test_files_that_do_not_fit(source: Path, tmp_path: Path) -> None:
    ground = source / "Train_Sets" / "MR" / "1" / "T2SPIR" / "Ground"
    pictures = sorted(ground.iterdir())
    grey = np.asarray(Image.open(pictures[0])).copy()
    grey[0, 0] = 90
    Image.fromarray(grey).save(pictures[0])
    with pytest.raises(DatasetError, match="has the grey value 90, which means no organ"):
        _convert(source, tmp_path / "w", "t2")
    Image.fromarray(grey[:5]).save(pictures[0])
    with pytest.raises(DatasetError, match=r"has the shape \(5, 16\), its slice \(16, 16\)"):
        _convert(source, tmp_path / "w", "t2")
    pictures[0].write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"\.png cannot be read"):
        _convert(source, tmp_path / "w", "t2")
    pictures[0].unlink()
    with pytest.raises(DatasetError, match="has 5 pictures for 6 slices"):
        _convert(source, tmp_path / "w", "t2")
    for path in (source / "Train_Sets" / "MR" / "1" / "T2SPIR" / "DICOM_anon").iterdir():
        path.write_bytes(b"no slice")
    with pytest.raises(DatasetError, match="DICOM_anon holds 0 series"):
        _convert(source, tmp_path / "w", "t2")
