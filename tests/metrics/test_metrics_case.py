"""Whole cases: regions, ignored voxels, wrong values, the protocol."""

from __future__ import annotations

import math
from fnmatch import fnmatch

import numpy as np
import pytest

from autoseg.core.errors import DatasetError, GeometryError, RegistryError
from autoseg.core.labels import LabelSpace
from autoseg.metrics import evaluate_case
from autoseg.metrics.case import split_regions
from autoseg.metrics.protocols import PROTOCOLS, load_protocol
from autoseg.metrics.protocols.autoseg import NO_SURFACE
from autoseg.specs.report import CaseScores

LABELS = LabelSpace.parse({"background": 0, "liver": 1, "tumour": 2})
REGIONS = LabelSpace.parse({"background": 0, "whole": [1, 2], "core": [2], "far": [7]}, [1, 2, 7])
IGNORING = LabelSpace.parse({"background": 0, "liver": 1, "ignore": 2})
BRAIN = LabelSpace.parse({"background": 0, "edema": 1, "enhancing": 2})
SPACING_MM = (2.0, 1.0, 0.5)


def volume(kind: type[np.generic] = np.uint8) -> np.ndarray:
    labels = np.zeros((8, 12, 14), kind)
    labels[2:6, 3:9, 4:11] = 1
    labels[3:5, 4:6, 5:8] = 2
    return labels


def values(scores: dict, metric: str) -> dict[str, float | None]:
    return {region: metrics[metric].value for region, metrics in scores.items()}


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64])
def test_a_perfect_prediction_of_any_integer_type(kind: type[np.generic]) -> None:
    scores = evaluate_case(volume(kind), volume(np.uint8), spacing_mm=SPACING_MM, labels=LABELS)
    assert list(scores) == ["liver", "tumour"]
    for metric, best in (("dice", 1), ("iou", 1), ("hd95_mm", 0), ("assd_mm", 0), ("nsd", 1), ("lesion_f1", 1)):
        assert values(scores, metric) == {"liver": best, "tumour": best}
    assert scores["tumour"]["volume_reference_ml"].value == pytest.approx(12 * 1e-3)


def test_regions_are_unions_of_labels() -> None:
    prediction = volume()
    prediction[prediction == 2] = 1
    scores = evaluate_case(prediction, volume(), spacing_mm=SPACING_MM, labels=REGIONS)
    assert values(scores, "dice") == {"whole": 1.0, "core": 0.0, "far": None}
    assert scores["core"]["hd95_mm"].value is None
    assert scores["core"]["hd95_mm"].reason == "empty in prediction"
    assert scores["far"]["nsd"].reason == "empty in both"


def test_sparse_label_values_are_told_apart() -> None:
    reference = volume()
    reference[6, 10, 10:13] = 7
    prediction = reference.copy()
    prediction[6, 10, 12] = 0
    scores = evaluate_case(prediction, reference, spacing_mm=SPACING_MM, labels=REGIONS)
    assert scores["far"]["dice"].value == pytest.approx(4 / 5)
    assert values(scores, "dice")["whole"] == 1


def test_many_labels_need_more_than_a_byte() -> None:
    labels = LabelSpace(tuple(str(v) for v in range(1, 301)), tuple((v,) for v in range(1, 301)))
    reference = np.arange(301, dtype=np.uint16).reshape(1, 7, 43)
    prediction = reference.copy()
    prediction[prediction == 300] = 44
    dice = values(evaluate_case(prediction, reference, spacing_mm=(1, 1, 1), labels=labels), "dice")
    assert [name for name, value in dice.items() if value != 1] == ["44", "300"]
    assert (dice["44"], dice["300"]) == (pytest.approx(2 / 3), 0)


def test_ignored_voxels_change_nothing() -> None:
    reference = volume()
    reference[reference == 2] = 1
    prediction = reference.copy()
    prediction[2:4, 3:9, 4:6] = 0
    expected = evaluate_case(prediction, reference, spacing_mm=SPACING_MM, labels=IGNORING)
    reference[6:, :, :] = 2
    wild = prediction.copy()
    wild[6:, :, :] = np.random.default_rng(0).integers(0, 2, wild[6:].shape)
    found = evaluate_case(wild, reference, spacing_mm=SPACING_MM, labels=IGNORING)
    for metric in ("dice", "precision", "tp", "fp", "fn", "lesions_tp", "lesions_fp", "volume_prediction_ml"):
        assert found["liver"][metric] == expected["liver"][metric], metric
    assert found["liver"]["tn"].value == expected["liver"]["tn"].value - wild[6:].size
    assert found["liver"]["hd95_mm"].value == pytest.approx(expected["liver"]["hd95_mm"].value, abs=0.5)


def test_surfaces_wholly_at_ignored_voxels_are_not_scored() -> None:
    reference = np.full((3, 3, 3), 2, np.uint8)
    reference[1, 1, 1] = 1
    prediction = (reference == 1).astype(np.uint8)
    scores = evaluate_case(prediction, reference, spacing_mm=SPACING_MM, labels=IGNORING)["liver"]
    assert scores["dice"].value == 1
    assert (scores["hd95_mm"].value, scores["nsd"].reason) == (None, NO_SURFACE)


def test_a_region_of_one_slice_has_faces_in_a_volume_and_none_in_a_plane() -> None:
    reference = np.zeros((1, 9, 9), np.uint8)
    reference[0, 2:7, 2:7] = 1
    prediction = np.roll(reference, 2, axis=2)
    plane = evaluate_case(prediction, reference, spacing_mm=SPACING_MM, labels=LABELS)["liver"]
    padding = ((2, 2), (0, 0), (0, 0))
    grown = np.pad(prediction, padding), np.pad(reference, padding)
    volume_scores = evaluate_case(*grown, spacing_mm=SPACING_MM, labels=LABELS)["liver"]
    assert plane["dice"] == volume_scores["dice"]
    # The faces of both masks lie on each other where they overlap, the contours do not.
    assert plane["assd_mm"].value > 1.5 * volume_scores["assd_mm"].value


def test_empty_volumes_have_reasons_and_never_nan() -> None:
    nothing = np.zeros((4, 4, 4), np.uint8)
    scores = evaluate_case(nothing, nothing, spacing_mm=SPACING_MM, labels=LABELS)["liver"]
    assert scores["dice"].value is None
    assert scores["tn"].value == 64
    for score in scores.values():
        assert score.reason if score.value is None else math.isfinite(score.value)


def test_masks_are_cropped_to_the_box_of_both() -> None:
    regions = {"tumour": (2,)}
    (pair,) = split_regions(volume(), volume(), spacing_mm=SPACING_MM, labels=LABELS, regions=regions)
    assert pair.prediction.shape == (2, 2, 3)
    assert pair.voxel_volume_mm3 == 1.0


@pytest.mark.parametrize(
    ("value", "role", "labels"),
    [(3, "prediction", LABELS), (5, "reference", REGIONS), (-1, "prediction", LABELS), (2, "prediction", IGNORING)],
)
def test_a_value_that_is_no_label_is_refused(value: int, role: str, labels: LabelSpace) -> None:
    arrays = {"prediction": np.zeros((3, 3, 3), np.int16), "reference": np.zeros((3, 3, 3), np.int16)}
    arrays[role][1, 1, 1] = value
    with pytest.raises(DatasetError, match=f"the {role} holds the value {value}, the labels are 0, 1"):
        evaluate_case(**arrays, spacing_mm=SPACING_MM, labels=labels)


def test_shapes_must_agree() -> None:
    with pytest.raises(GeometryError, match=r"the prediction has the shape \(7, 12, 14\), the reference \(8"):
        evaluate_case(volume()[1:], volume(), spacing_mm=SPACING_MM, labels=LABELS)


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_every_protocol_scores_defines_and_sums_up(name: str) -> None:
    protocol = load_protocol(name)
    prediction = np.roll(volume(), 1, axis=2)
    labels = BRAIN if name.startswith("brats") else LABELS
    scores = evaluate_case(prediction, volume(), spacing_mm=SPACING_MM, labels=labels, protocol=protocol)
    assert set(scores) <= set(protocol.regions(labels))
    defined = {metric for key in protocol.definitions() for metric in key.split(", ")}
    for metrics in scores.values():
        assert not [metric for metric in metrics if not any(fnmatch(metric, pattern) for pattern in defined)]
    summary = protocol.summary([CaseScores(id="a", regions=scores)])
    assert set(summary) == {*scores, "mean"}


def test_options_of_the_protocol() -> None:
    protocol = load_protocol("autoseg", {"surface": False, "lesions": False, "empty": "agree"})
    nothing = np.zeros((3, 3, 3), np.uint8)
    scores = evaluate_case(nothing, nothing, spacing_mm=SPACING_MM, labels=LABELS, protocol=protocol)
    assert values(scores, "dice") == {"liver": 1.0, "tumour": 1.0}
    assert not {"hd95_mm", "lesions_tp"} & set(scores["liver"])
    assert "hd95_mm" not in protocol.definitions()
    assert "rule 'agree'" in protocol.definitions()["empty masks"]
    assert "within 2.5 mm" in load_protocol("autoseg", {"tolerance_mm": 2.5}).definitions()["nsd"]
    with pytest.raises(RegistryError, match="unknown scoring protocol 'litss'"):
        load_protocol("litss")


def test_pairs_know_where_in_the_image_they_are() -> None:
    labels = volume()
    pairs = {
        pair.name: pair
        for pair in split_regions(
            labels, labels, spacing_mm=SPACING_MM, labels=LABELS, regions={"tumour": (2,), "nothing": ()}
        )
    }
    assert pairs["tumour"].origin == (3, 4, 5)
    assert pairs["tumour"].shape == labels.shape
    assert pairs["nothing"].counts.empty == "both"
