"""Surface distances against DeepMind's figures and against geometry."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import edt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autoseg.metrics.surface import SurfaceDistances, element_areas_mm2, neighbour_codes, surface_distances

GOLDEN = Path(__file__).parents[1] / "golden"
TABLE = json.loads((GOLDEN / "surface_distance_0_1.json").read_text())
MAKER = runpy.run_path(str(GOLDEN / "surface_masks.py"))
SMALL = arrays(np.bool_, (4, 5, 6))
SPACINGS = st.tuples(*[st.floats(0.3, 5.0)] * 3)


def measure(prediction: np.ndarray, reference: np.ndarray, **options: Any) -> SurfaceDistances:
    distances = surface_distances(prediction, reference, **options)
    assert distances is not None
    return distances


def test_areas_of_all_codes_equal_those_of_surface_distance() -> None:
    golden = TABLE["areas"]
    assert element_areas_mm2(tuple(golden["spacing_mm"])) == pytest.approx(np.array(golden["by_code"]), abs=1e-8)


@pytest.mark.parametrize("golden", TABLE["cases"], ids=lambda g: f"{g['dimensions']}d-{g['seed']}-{g['spacing_mm']}")
def test_figures_equal_those_of_surface_distance(golden: dict[str, Any]) -> None:
    prediction, reference = MAKER["masks"](golden["seed"])
    spacing_mm, slice_thickness = tuple(golden["spacing_mm"]), 1.0
    if golden["dimensions"] == 2:
        prediction, reference, slice_thickness = prediction[12:13], reference[12:13], spacing_mm[0]
    assert [int(prediction.sum()), int(reference.sum())] == golden["voxels"]
    found = measure(prediction, reference, spacing_mm=spacing_mm, planar=golden["dimensions"] == 2)
    areas = {name: golden[f"area_{name}"] * slice_thickness for name in ("reference", "prediction")}
    assert found.reference_areas_mm2.sum() == pytest.approx(areas["reference"], rel=1e-6)
    assert found.prediction_areas_mm2.sum() == pytest.approx(areas["prediction"], rel=1e-6)
    assert found.hausdorff_mm(100) == pytest.approx(golden["hd100_mm"], abs=1e-4)
    assert found.hausdorff_mm(95) == pytest.approx(golden["hd95_mm"], abs=1e-4)
    total = golden["mean_to_prediction_mm"] * areas["reference"] + golden["mean_to_reference_mm"] * areas["prediction"]
    assert found.average_mm() == pytest.approx(total / sum(areas.values()), abs=1e-4)
    nsd = [found.dice_within(tolerance) for tolerance in MAKER["TOLERANCES_MM"]]
    assert nsd == pytest.approx(golden["nsd"], abs=1e-6)


@settings(max_examples=40)
@given(SPACINGS)
def test_areas_do_not_change_with_the_complement_and_scale_with_the_square(spacing_mm: tuple[float, ...]) -> None:
    areas = element_areas_mm2(spacing_mm)
    assert areas == pytest.approx(areas[::-1])
    assert element_areas_mm2(tuple(2 * value for value in spacing_mm)) == pytest.approx(4 * areas)
    assert (areas[1:-1] > 0).all()
    assert areas[0] == areas[255] == 0


def test_a_code_has_the_bit_of_every_voxel_around_the_corner() -> None:
    mask = np.zeros((2, 2, 2), bool)
    mask[1, 0, 1] = True
    codes = neighbour_codes(mask)
    assert codes.shape == (3, 3, 3)
    assert codes[1, 1, 1] == 1 << (4 * 1 + 2 * 0 + 1)
    assert np.count_nonzero(codes) == 8


def test_moving_a_plane_moves_the_surface_by_that_much() -> None:
    reference = np.zeros((30, 12, 12), bool)
    reference[:10] = True
    prediction = np.zeros_like(reference)
    prediction[:13] = True
    found = measure(prediction, reference, spacing_mm=(2.0, 1.0, 1.0))
    assert found.hausdorff_mm(100) == pytest.approx(6.0, abs=1e-5)
    assert found.dice_within(6.0) == 1.0  # a distance equal to the tolerance is within


@pytest.mark.parametrize("step", [0.7, 0.743, 1.1, 1.6])
def test_a_distance_equal_to_the_tolerance_is_within_at_any_spacing(step: float) -> None:
    reference = np.zeros((3, 3, 16), bool)
    reference[:, :, 4] = True
    prediction = np.roll(reference, 3, axis=2)
    found = measure(prediction, reference, spacing_mm=(9.0, 9.0, step))
    assert found.dice_within(3 * step) == pytest.approx(1.0)
    assert found.dice_within(step * 0.9) < 0.5


@settings(max_examples=60)
@given(SMALL, SMALL, SPACINGS)
def test_laws_of_distances(prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, ...]) -> None:
    prediction[0, 0, 0] = reference[-1, -1, -1] = True
    found = measure(prediction, reference, spacing_mm=spacing_mm)
    swapped = measure(reference, prediction, spacing_mm=spacing_mm)
    assert found.hausdorff_mm(95) == swapped.hausdorff_mm(95)
    assert found.average_mm() == pytest.approx(swapped.average_mm())
    assert found.hausdorff_mm(50) <= found.hausdorff_mm(95) <= found.hausdorff_mm(100)
    assert 0 <= found.dice_within(0.0) <= found.dice_within(1.0) <= found.dice_within(100.0)
    assert found.dice_within(100.0) == pytest.approx(1.0)
    same = measure(reference, reference, spacing_mm=spacing_mm)
    assert (same.hausdorff_mm(100), same.average_mm()) == (0, 0)


@settings(max_examples=30)
@given(SMALL, SMALL, SPACINGS)
def test_distances_equal_a_search_over_all_pairs(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, ...]
) -> None:
    prediction[1, 1, 1] = reference[2, 2, 2] = True
    found = measure(prediction, reference, spacing_mm=spacing_mm)
    points = []
    for mask in (prediction, reference):
        codes = neighbour_codes(mask)
        points.append(np.argwhere((codes != 0) & (codes != 255)) * spacing_mm)
    pairs = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    assert found.to_reference_mm == pytest.approx(np.sort(pairs.min(axis=1)), abs=1e-4)
    assert found.to_prediction_mm == pytest.approx(np.sort(pairs.min(axis=0)), abs=1e-4)


@pytest.mark.parametrize("many", [False, True])
def test_far_elements_are_measured_as_exactly_as_near_ones(many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few are searched for in the tree, many are read from a distance transform."""
    transforms: list[np.ndarray] = []
    transform = edt.edtsq
    monkeypatch.setattr(edt, "edtsq", lambda *given, **named: transforms.append(given[0]) or transform(*given, **named))
    spacing_mm = (2.0, 0.7, 1.1)
    prediction, reference = np.zeros((2, 30, 40, 60), bool)
    prediction[2:5, 2:5, 2:5] = reference[2:5, 2:5, 3:6] = True
    prediction[-2:, -3:, -40 if many else -2 :] = True
    found = measure(prediction, reference, spacing_mm=spacing_mm)
    points = []
    for mask in (prediction, reference):
        codes = neighbour_codes(mask)
        points.append(np.argwhere((codes != 0) & (codes != 255)) * spacing_mm)
    pairs = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    assert bool(transforms) is many
    assert found.hausdorff_mm(100) > 60
    assert found.to_reference_mm == pytest.approx(np.sort(pairs.min(axis=1)), abs=1e-4)


def test_cropping_does_not_change_the_distances() -> None:
    prediction, reference = MAKER["masks"](0)
    whole = measure(np.pad(prediction, 3), np.pad(reference, 3), spacing_mm=(1.6, 0.7, 0.7))
    cropped = measure(prediction, reference, spacing_mm=(1.6, 0.7, 0.7))
    assert whole.to_reference_mm == pytest.approx(cropped.to_reference_mm, abs=1e-5)
    assert whole.reference_areas_mm2.sum() == pytest.approx(cropped.reference_areas_mm2.sum())


def test_elements_at_ignored_voxels_are_not_measured_from() -> None:
    reference = np.zeros((6, 10, 10), bool)
    reference[1:5, 2:8, 2:8] = True
    prediction = reference.copy()
    prediction[1:5, 2:8, 8:10] = True
    ignored = np.zeros_like(reference)
    ignored[:, :, 7:] = True
    found = measure(prediction & ~ignored, reference & ~ignored, spacing_mm=(1, 1, 1), ignored=ignored)
    assert found.hausdorff_mm(100) == 0
    assert len(found.to_reference_mm) < len(measure(prediction, reference, spacing_mm=(1, 1, 1)).to_reference_mm)


def test_nothing_to_measure_from_gives_none() -> None:
    mask = np.zeros((3, 3, 3), bool)
    full = np.ones_like(mask)
    assert surface_distances(mask, full, spacing_mm=(1, 1, 1)) is None
    assert surface_distances(full, full, spacing_mm=(1, 1, 1), ignored=full) is None
