"""The phantom: reproducible, plausible in HU, and mixed in its grids as real collections are."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg.core.errors import RegistryError
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.io.raw import RawDataset, read_case
from autoseg.stages import convert

SMALL = {"cases": 6, "test_cases": 1, "size": "24x40x40"}


def make(root: Path, **options: object) -> RawDataset:
    chosen = tuple((SMALL | options).items())
    return RawDataset.open(convert.run(convert.Options("phantom", options=chosen, workers=1), Workspace(root)))


@pytest.fixture(scope="module")
def abdomen(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    return make(tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    return make(tmp_path_factory.mktemp("brain"), variant="brain")


def test_equal_seeds_give_equal_bytes(abdomen: RawDataset, tmp_path: Path) -> None:
    again = make(tmp_path / "again", cases=1, test_cases=0)
    for ours, theirs in zip(abdomen.training[0].images, again.training[0].images, strict=True):
        assert ours.read_bytes() == theirs.read_bytes()
    assert abdomen.training[0].label.read_bytes() == again.training[0].label.read_bytes()  # type: ignore[union-attr]
    other = make(tmp_path / "other", cases=1, test_cases=0, seed=1)
    assert other.training[0].images[0].read_bytes() != abdomen.training[0].images[0].read_bytes()


def test_ct_is_in_hounsfield_units(abdomen: RawDataset) -> None:
    tumours = 0
    for case in abdomen.training:
        array, _, labels = read_case(case, channels=1)
        assert labels is not None
        assert -1024 <= array.min() < -950
        assert 180 < array.max() <= 1800
        assert 85 < np.median(array[0][labels == 1]) < 140
        assert 0.02 < np.mean(labels > 0) < 0.1
        if (labels == 2).sum() > 20:
            tumours += 1
            contrast = np.median(array[0][labels == 1]) - np.median(array[0][labels == 2])
            assert 5 < contrast < 80
    assert 2 <= tumours < len(abdomen.training)  # some cases are healthy


def test_tumours_may_be_a_chosen_share_of_the_liver(abdomen: RawDataset, tmp_path: Path) -> None:
    small = make(tmp_path, cases=5, test_cases=0, tumour_share="0.01,0.03")
    for case in small.training:
        array, _, labels = read_case(case, channels=1)
        assert labels is not None
        share = (labels == 2).sum() / (labels > 0).sum()
        assert 0.009 < share < 0.031
        assert np.median(array[0][labels == 1]) - np.median(array[0][labels == 2]) > 5
    with pytest.raises(RegistryError, match="tumour_share"):
        make(tmp_path / "bad", tumour_share="0.03,0.01")


def test_tumours_may_be_hard_to_see(tmp_path: Path) -> None:
    given = {"cases": 3, "test_cases": 0, "tumour_share": "0.1,0.1", "size": "32x64x64"}
    contrast = {}
    for name, range_hu in {"usual": "26,52", "faint": "8,12"}.items():
        contrast[name] = []
        for case in make(tmp_path / name, tumour_contrast=range_hu, **given).training:
            array, _, labels = read_case(case, channels=1)
            assert labels is not None
            contrast[name].append(np.median(array[0][labels == 1]) - np.median(array[0][labels == 2]))
    assert 3 < np.mean(contrast["faint"]) < 15 < np.mean(contrast["usual"]) < 60, contrast
    with pytest.raises(RegistryError, match="tumour_contrast"):
        make(tmp_path / "bad", tumour_contrast="-5,5")


def test_the_liver_is_on_the_right(abdomen: RawDataset) -> None:
    for case in abdomen.training:
        affine = nibabel.load(case.label).affine
        labels = np.asarray(nibabel.load(case.label).dataobj)
        centre, middle = np.argwhere(labels > 0).mean(0), (np.array(labels.shape) - 1) / 2
        right = (affine @ [*centre, 1] - affine @ [*middle, 1])[0]
        assert right > 20, nibabel.aff2axcodes(affine)  # mm towards RAS +x


def test_grids_differ(abdomen: RawDataset, tmp_path: Path) -> None:
    headers = [nibabel.load(case.images[0]) for case in abdomen.training]
    assert len({nibabel.aff2axcodes(header.affine) for header in headers}) >= 4
    assert len({header.shape for header in headers}) >= 4
    same = make(tmp_path, cases=2, test_cases=0, orientations="same")
    assert {nibabel.aff2axcodes(nibabel.load(case.images[0]).affine) for case in same.training} == {("L", "P", "S")}


def test_brain(brain: RawDataset) -> None:
    assert brain.labels.is_regions
    assert brain.labels.names == ("whole", "core", "enhancing")
    enhancing = 0
    for case in brain.training:
        array, _, labels = read_case(case, channels=4)
        assert labels is not None
        outside = (array == 0).all(0)
        assert 0.4 < outside.mean() < 0.9
        assert ((array == 0).any(0) == outside).all()  # zero in one sequence is zero in all
        assert not labels[outside].any()
        assert (labels == 1).any()
        enhancing += bool((labels == 3).any())
        flair, t1gd = array[0], array[2]
        assert np.median(flair[labels == 1]) > 1.2 * np.median(flair[(labels == 0) & ~outside])
        if (labels == 3).sum() > 20:
            assert np.median(t1gd[labels == 3]) > 1.1 * np.median(t1gd[labels == 1])
    assert 1 <= enhancing < len(brain.training)


def test_plain_brain_labels(tmp_path: Path) -> None:
    spec = make(tmp_path, variant="brain", labels="plain", cases=1, test_cases=0).spec
    assert not spec.label_space().is_regions
    assert spec.labels["enhancing"] == 3


def test_test_cases_have_labels_to_score_with(abdomen: RawDataset) -> None:
    assert [case.label is not None for case in abdomen.test] == [True]


def test_wrong_options() -> None:
    converter = load_converter("phantom")
    with pytest.raises(RegistryError, match=r"option 'cases' = -1: .*must not be negative"):
        converter.with_options({"cases": -1})
    with pytest.raises(RegistryError, match="option 'varient' = 'ct': did you mean 'variant'"):
        converter.with_options({"varient": "ct"})
