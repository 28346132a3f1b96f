"""Pairs of labels that mirror each other are found by position, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.core.geometry import Geometry
from autoseg.imageops.orient import orientation_code
from autoseg.planning.laterality import label_places, mirrored_pairs
from autoseg.planning.mirroring import mirror_axes
from autoseg.specs.fingerprint import CaseFingerprint
from autoseg.specs.method import PlanChoices

SHAPE, SPACING = (20, 30, 40), (2.0, 1.0, 1.0)
Box = tuple[tuple[int, int, int], tuple[int, int, int]]
# (centre, size) of each label, in voxels.
KIDNEYS: dict[int, Box] = {1: ((10, 18, 10), (8, 6, 6)), 2: ((9, 18, 30), (8, 6, 7))}
HEAD_AND_TAIL: dict[int, Box] = {1: ((10, 10, 20), (6, 6, 6)), 2: ((10, 20, 20), (6, 6, 6))}
LIVER_AND_SPLEEN: dict[int, Box] = {1: ((10, 15, 12), (12, 16, 18)), 2: ((10, 15, 32), (6, 6, 6))}
ONE_SIDE: dict[int, Box] = {1: ((10, 15, 5), (6, 6, 6)), 2: ((10, 15, 14), (6, 6, 6))}
LYING_AND_STANDING: dict[int, Box] = {1: ((10, 15, 10), (4, 18, 6)), 2: ((10, 15, 30), (12, 6, 6))}


def labels_of(boxes: dict[int, Box], shift: np.ndarray | None = None) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    moved = np.zeros(3, int) if shift is None else shift
    for value, (centre, size) in boxes.items():
        corner = np.array(centre) + moved - np.array(size) // 2
        labels[tuple(slice(start, start + edge) for start, edge in zip(corner, size, strict=True))] = value
    return labels


def case(labels: np.ndarray, orientation: str = "SPL") -> CaseFingerprint:
    counts = np.bincount(labels.ravel())
    return CaseFingerprint(
        case_id="a",
        content="",
        shape_voxels=SHAPE,
        cropped_shape_voxels=SHAPE,
        spacing_mm=SPACING,
        orientation=orientation,
        label_voxels={str(value): int(count) for value, count in enumerate(counts) if count},
        label_places=label_places(labels, SPACING),
    )


def cases(boxes: dict[int, Box], count: int = 10) -> list[CaseFingerprint]:
    generator = np.random.default_rng(0)
    return [case(labels_of(boxes, generator.integers(-1, 2, 3))) for _ in range(count)]


def test_places_are_in_millimetres_from_the_middle() -> None:
    place = label_places(labels_of(KIDNEYS), SPACING)["1"]
    assert place.centre_mm == pytest.approx((0.0, 3.0, -10.0), abs=1e-6)
    assert place.spread_mm == pytest.approx([edge / 12**0.5 for edge in (16, 6, 6)], abs=0.1)
    assert label_places(np.ones(SHAPE, np.uint8), SPACING) == {}
    assert label_places(np.zeros(SHAPE, np.uint8), SPACING) == {}
    full = np.ones(SHAPE, np.uint8)
    full[:10] = 2
    assert set(label_places(full, SPACING)) == {"1", "2"}  # no background at all


@given(st.tuples(*[st.integers(1, 200)] * 3))
@settings(max_examples=25)
def test_thinning_hardly_moves_the_centre(shape: tuple[int, int, int]) -> None:
    labels = np.ones(shape, np.uint8)
    labels[..., : shape[2] // 2] = 2
    for value, place in label_places(labels, (1.0, 1.0, 1.0)).items():
        where = np.argwhere(labels == int(value)).mean(0) - (np.array(shape) - 1) / 2
        assert np.abs(where - place.centre_mm).max() <= 2.1


def test_kidneys_without_sides_in_their_names_are_a_pair() -> None:
    assert mirrored_pairs(cases(KIDNEYS), {"k1": 1, "k2": 2}) == (("k1", "k2", 10, 10),)
    axes, decision = mirror_axes(
        PlanChoices(), {"background": 0, "k1": 1, "k2": 2}, ("SPL",), (0, 1, 2), cases=cases(KIDNEYS)
    )
    assert axes == (0, 1)
    assert decision.reason == "'k1' and 'k2' mirror each other in 10 of 10 cases, so left-right is not mirrored"


@pytest.mark.parametrize("boxes", [HEAD_AND_TAIL, LIVER_AND_SPLEEN, ONE_SIDE, LYING_AND_STANDING])
def test_other_labels_are_none(boxes: dict[int, Box]) -> None:
    assert mirrored_pairs(cases(boxes), {"a": 1, "b": 2}) == ()
    axes, decision = mirror_axes(PlanChoices(), {"a": 1, "b": 2}, ("SPL",), (0, 1, 2), cases=cases(boxes))
    assert axes == (0, 1, 2)
    assert "by name or position" in decision.reason


def test_nearly_all_cases_must_agree() -> None:
    usual, turned = cases(KIDNEYS, 9), case(np.ascontiguousarray(labels_of(KIDNEYS)[..., ::-1]))
    values = {"k1": 1, "k2": 2}
    assert mirrored_pairs([*usual, turned], values)[0].agreeing == 9
    assert mirrored_pairs([*usual[:8], turned, turned], values) == ()
    assert mirrored_pairs(usual[:2], values) == ()  # too few to say
    lonely = case(labels_of({1: KIDNEYS[1], 3: ((10, 4, 4), (2, 2, 2))}))
    assert mirrored_pairs([*usual[:5], lonely, lonely], values) == ()  # one of them is often absent


def test_stored_orientations_may_differ() -> None:
    geometry = Geometry(SHAPE, SPACING)
    assert orientation_code(geometry)[2] in "LR"
    mixed = [case(np.ascontiguousarray(labels_of(KIDNEYS)[..., ::-1]), "SPR"), case(labels_of(KIDNEYS))] * 3
    assert mirrored_pairs(mixed, {"k1": 1, "k2": 2})[0].agreeing == 6
    turned = [case(np.ascontiguousarray(labels_of(KIDNEYS)[..., ::-1])), case(labels_of(KIDNEYS))] * 3
    assert mirrored_pairs(turned, {"k1": 1, "k2": 2}) == ()
