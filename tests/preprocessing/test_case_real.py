"""Real cases against figures that nnU-Net v2 gave for them (`tests/golden/make_preprocessing.py`)."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.preprocessing.case import preprocess_case
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.plan import Preprocessing

GOLDEN = Path(__file__).parents[1] / "golden"
_spec = importlib.util.spec_from_file_location("make_preprocessing", GOLDEN / "make_preprocessing.py")
assert _spec is not None
assert _spec.loader is not None
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)


@pytest.mark.parametrize("name", sorted(make.CASES))
def test_a_real_case_equals_nnunet(test_data: Path, name: str) -> None:
    image_name, labels_name, spacing, scheme = make.CASES[name]
    expected = json.loads((GOLDEN / "preprocessing.json").read_text())[name]
    read = SimpleITK.ReadImage(str(test_data / image_name))
    array = SimpleITK.GetArrayFromImage(read)[None].astype(np.float32)
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(test_data / labels_name))).astype(np.int16)
    geometry = Geometry(labels.shape, tuple(read.GetSpacing())[::-1])
    section = Preprocessing(
        orientation="as_stored",
        transpose=(0, 1, 2),
        spacing_mm=tuple(spacing),
        normalization=(Component(name={"CT": "ct_clip", "ZScore": "zscore"}[scheme]),),
        mask_normalization=(False,),
        intensities=(IntensityStatistics(**make.STATISTICS, median=0, minimum=0, maximum=0),),
    )
    space = LabelSpace.parse({"background": 0} | {f"organ {value}": value for value in range(1, 118)})
    image, own, record, _ = preprocess_case(array, geometry, labels, section, space)
    assert own is not None
    assert list(record.shape_voxels) == expected["shape"]
    np.testing.assert_allclose(make.moments(image[0].astype(float)), expected["moments"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(make.moments(own.astype(float)), expected["label_moments"], rtol=1e-12)
    assert record.label_voxels == {key: value for key, value in expected["label_voxels"].items() if key != "-1"}
