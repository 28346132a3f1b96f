"""Erosion and dilation equal scipy's, voxel surfaces equal MedPy's."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from autoseg.metrics.morphology import Neighbours, dilate, erode, surface_voxels
from autoseg.metrics.voxel_surface import VoxelSurfaceDistances, voxel_surface_distances

GOLDEN = Path(__file__).parents[1] / "golden"
TABLE = json.loads((GOLDEN / "medpy_0_5_2.json").read_text())
MAKER = runpy.run_path(str(GOLDEN / "surface_masks.py"))
RANKS: dict[Neighbours, int] = {6: 1, 18: 2, 26: 3}
MASKS = arrays(np.bool_, st.tuples(*[st.integers(1, 5)] * 3), elements=st.booleans())
KINDS = st.sampled_from((6, 18, 26))


@settings(max_examples=60)
@given(MASKS, KINDS, st.booleans())
def test_erosion_equals_scipys(mask: np.ndarray, neighbours: Neighbours, beyond: bool) -> None:
    structure = ndimage.generate_binary_structure(3, RANKS[neighbours])
    expected = ndimage.binary_erosion(mask, structure, border_value=beyond)
    ends = ((beyond, beyond),) * 3
    assert np.array_equal(erode(mask, neighbours=neighbours, outside=ends), expected)
    assert np.array_equal(surface_voxels(mask, neighbours=neighbours, outside=ends), mask ^ expected)


@settings(max_examples=60)
@given(MASKS, KINDS, st.integers(1, 3))
def test_dilation_equals_scipys(mask: np.ndarray, neighbours: Neighbours, times: int) -> None:
    structure = ndimage.generate_binary_structure(3, RANKS[neighbours])
    expected = ndimage.binary_dilation(mask, structure, iterations=times)
    assert np.array_equal(dilate(mask, neighbours=neighbours, times=times), expected)


def test_ends_of_an_axis_are_told_apart() -> None:
    mask = np.ones((1, 1, 3), bool)
    ends = ((True, True), (True, True), (True, False))
    assert erode(mask, neighbours=6, outside=ends).tolist() == [[[True, True, False]]]


def measure(prediction: np.ndarray, reference: np.ndarray, **options: Any) -> VoxelSurfaceDistances:
    found = voxel_surface_distances(prediction, reference, **options)
    assert found is not None
    return found


@pytest.mark.parametrize("golden", TABLE["cases"], ids=lambda g: f"{g['neighbours']}-{g['seed']}-{g['spacing_mm']}")
def test_figures_equal_those_of_medpy(golden: dict[str, Any]) -> None:
    prediction, reference = MAKER["masks"](golden["seed"])
    found = measure(prediction, reference, spacing_mm=golden["spacing_mm"], neighbours=golden["neighbours"])
    assert found.hausdorff_joined_mm(95) == pytest.approx(golden["hd95_mm"], abs=1e-4)
    assert found.maximum_mm() == pytest.approx(golden["hd_mm"], abs=1e-4)
    means = golden["mean_to_reference_mm"], golden["mean_to_prediction_mm"]
    assert found.to_reference_mm.mean() == pytest.approx(means[0], abs=1e-4)
    assert found.to_prediction_mm.mean() == pytest.approx(means[1], abs=1e-4)
    sizes = len(found.to_reference_mm), len(found.to_prediction_mm)
    assert found.average_mm() == pytest.approx(np.average(means, weights=sizes), abs=1e-4)


def test_figures_of_two_voxels_and_one() -> None:
    # P = {0, 3}, R = {0}, 2 mm apart each: P -> R 0 and 6, R -> P 0.
    prediction, reference = np.array([[[True, False, False, True]]]), np.array([[[True, False, False, False]]])
    found = measure(prediction, reference, spacing_mm=(1, 1, 2), neighbours=18)
    assert found.average_mm() == pytest.approx((0 + 6 + 0) / 3)
    assert found.root_mean_square_mm() == pytest.approx((36 / 3) ** 0.5)
    assert found.maximum_mm() == 6
    assert found.mean_share_within(6) == 1
    assert found.mean_share_within(5.9) == pytest.approx((1 / 2 + 1) / 2)


def test_no_surface_no_distances() -> None:
    mask = np.ones((2, 2, 2), bool)
    everywhere = ((True, True),) * 3
    assert voxel_surface_distances(mask, mask, spacing_mm=(1, 1, 1), neighbours=6, outside=everywhere) is None
    assert voxel_surface_distances(mask, ~mask, spacing_mm=(1, 1, 1), neighbours=6) is None
