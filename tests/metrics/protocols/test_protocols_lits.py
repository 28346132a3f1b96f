"""LiTS: every fact and quirk of the scorer by one drawn example; detection against the scorer's own results.

Rows are drawn along x: '.' background, '1' liver, '2' lesion.
"""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from autoseg.core.errors import SpecError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.core.workspace import Workspace
from autoseg.io.images import write_label
from autoseg.metrics import evaluate_case
from autoseg.metrics.components import count_overlaps, number_in_file_order
from autoseg.metrics.protocols import load_protocol
from autoseg.metrics.protocols._lits_detection import detect, detect_official
from autoseg.specs.report import CaseScores, Report, Summary
from autoseg.stages import evaluate

GOLDEN = Path(__file__).parents[2] / "golden"
TABLE = json.loads((GOLDEN / "lits_detection.json").read_text())
MASKS = runpy.run_path(str(GOLDEN / "lesion_masks.py"))["masks"]
LABELS = LabelSpace.parse({"background": 0, "liver": 1, "tumour": 2})
BOTH = ("lits", "lits_official")


def row(text: str) -> np.ndarray:
    return np.array([[[0 if letter == "." else int(letter) for letter in text]]], np.uint8)


def scores(protocol: str, prediction: str, reference: str) -> dict[str, dict[str, float | None]]:
    return values(case(protocol, row(prediction), row(reference)))


def case(protocol: str, prediction: np.ndarray, reference: np.ndarray, name: str = "a") -> CaseScores:
    rules = load_protocol(protocol)
    regions = evaluate_case(prediction, reference, spacing_mm=(1, 1, 1), labels=LABELS, protocol=rules)
    return CaseScores(id=name, regions=regions)


def values(found: CaseScores) -> dict[str, dict[str, float | None]]:
    return {region: {name: s.value for name, s in metrics.items()} for region, metrics in found.regions.items()}


def summary(protocol: str, *drawn: tuple[str, str]) -> dict[str, dict[str, Summary]]:
    cases = [case(protocol, row(p), row(r), str(number)) for number, (p, r) in enumerate(drawn)]
    return load_protocol(protocol).summary(cases)


def counts(found: dict[str, dict[str, float | None]], suffix: str = "gt50") -> list[float | None]:
    return [found["lesion"][f"lesions_{name}_{suffix}"] for name in ("tp", "fp", "fn")]


@pytest.mark.parametrize("protocol", BOTH)
def test_overlaps_and_surfaces_of_the_liver(protocol: str) -> None:
    liver = scores(protocol, "1111.", "..111")["liver"]
    # |P| = 4, |R| = 3, common 2: D = 4 / 7, J = 2 / 5.
    assert liver["dice"] == pytest.approx(4 / 7)
    assert liver["jaccard"] == pytest.approx(2 / 5)
    assert liver["voe"] == pytest.approx(3 / 5)
    # One voxel thick: all are surface. P -> R 2 1 0 0, R -> P 0 0 1.
    assert liver["assd_mm"] == pytest.approx(4 / 7)
    assert liver["rmsd_mm"] == pytest.approx(math.sqrt((4 + 1 + 1) / 7))
    assert liver["mssd_mm"] == 2


@pytest.mark.parametrize(("protocol", "expected"), [("lits", (5 - 4) / 4), ("lits-official", (4 - 5) / 5)])
def test_relative_volume_difference_is_swapped_by_the_scorer(protocol: str, expected: float) -> None:
    assert scores(protocol, "11111", "1111.")["liver"]["rvd"] == pytest.approx(expected)


def test_liver_is_everything_from_label_1() -> None:
    assert scores("lits_official", "1121", "1111")["liver"]["dice"] == 1


def test_an_all_lesion_map_counts_as_no_liver_officially() -> None:
    found = scores("lits_official", "2222", "1122")["liver"]
    assert [found[name] for name in ("dice", "jaccard", "voe")] == [0, 0, 1]
    assert [found[name] for name in ("rvd", "assd_mm", "rmsd_mm", "mssd_mm")] == [9001] * 4
    assert scores("lits", "2222", "1122")["liver"]["dice"] == 1


def test_an_absent_liver_still_adds_to_the_global_dice() -> None:
    # 2 (0 + 4) / (4 + (4 + 4)) officially, where the first prediction is no liver; cleanly 2 (4 + 4) / 16.
    drawn = (("2222", "1122"), ("1111", "1111"))
    official, clean = (summary(protocol, *drawn)["liver"] for protocol in ("lits_official", "lits"))
    assert official["dice_global"].mean == pytest.approx(8 / 12)
    assert clean["dice_global"].mean == 1
    assert official["assd_mm"].mean == 9001 / 2  # as the leaderboard shows it, and said:
    assert official["cases_scored_9001"].mean == 1


@pytest.mark.parametrize(
    ("prediction", "reference", "dice"), [("1111", "1112", 0), ("1112", "1111", 0), ("11", "11", 1)]
)
@pytest.mark.parametrize("protocol", BOTH)
def test_empty_lesions(protocol: str, prediction: str, reference: str, dice: float) -> None:
    assert scores(protocol, prediction, reference)["lesion"]["dice"] == dice


def test_empty_livers_have_no_number_in_the_clean_reading() -> None:
    nothing = case("lits", row("...."), row("1111")).regions["liver"]
    assert (nothing["dice"].value, nothing["voe"].value, nothing["assd_mm"].value) == (0, 1, None)
    assert nothing["assd_mm"].reason == "empty in prediction"
    assert case("lits", row("...."), row("....")).regions["liver"]["dice"].value is None
    invented = case("lits_official", row("1111"), row("....")).regions["liver"]
    assert (invented["dice"].value, invented["assd_mm"].value) == (0, 9001)


@pytest.mark.parametrize("protocol", BOTH)
def test_an_empty_reference_makes_every_prediction_wrong(protocol: str) -> None:
    # The scorer stops with an error here; both readings count TP 0, FP 2, FN 0.
    assert counts(scores(protocol, "12.2", "1111")) == [0, 2, 0]


@pytest.mark.parametrize(("protocol", "expected"), [("lits", [1, 0, 0]), ("lits_official", [1, 1, 0])])
def test_a_lesion_covered_by_two_pieces(protocol: str, expected: list[int]) -> None:
    # Merged IoU 4 / 5 > 0.5. Official FP = 2 predictions - 1 detected.
    found = scores(protocol, "122.22", "122222")
    assert counts(found) == expected
    assert found["lesion"]["detected_dice"] == pytest.approx(8 / 9)


@pytest.mark.parametrize("protocol", BOTH)
def test_the_overlap_must_be_strictly_above_the_threshold(protocol: str) -> None:
    found = scores(protocol, "12222", "12211")  # IoU 2 / 4
    assert counts(found, "gt50") == [0, 1, 1]
    assert counts(found, "gt0") == [1, 0, 0]


@pytest.mark.parametrize(("stray", "official", "clean"), [(False, [0, 1, 1], [0, 1, 1]), (True, [1, 1, 0], [0, 2, 1])])
def test_an_unrelated_voxel_before_it_gets_a_blob_accepted_officially(
    stray: bool, official: list[int], clean: list[int]
) -> None:
    # A 12 x 12 blob over a 4 x 4 lesion: IoU 16 / 144. With a stray voxel of smaller x the blob is prediction 2 and the
    # lesion reference 1: nothing was given to reference 2, so the union is the lesion alone and the overlap 16 / 16.
    reference, prediction = np.ones((1, 20, 30), np.uint8), np.ones((1, 20, 30), np.uint8)
    reference[0, 4:8, 14:18] = prediction[0, 2:14, 12:24] = 2
    prediction[0, 19, 0] = 2 if stray else 1
    assert counts(values(case("lits_official", prediction, reference))) == official
    assert counts(values(case("lits", prediction, reference))) == clean


@pytest.mark.parametrize(
    ("prediction", "reference", "official", "clean"),
    [
        ("1222221", "1221221", [1, 0, 1], [2, 0, 0]),  # IoU 4 / 5 passes: counted once, though two are found
        ("1222222", "1211112", [-1, 2, 3], [0, 1, 2]),  # IoU 2 / 6 fails: 1 match - 2 merged references
    ],
)
def test_one_prediction_over_two_references(
    prediction: str, reference: str, official: list[int], clean: list[int]
) -> None:
    assert counts(scores("lits_official", prediction, reference)) == official
    assert counts(scores("lits", prediction, reference)) == clean


def test_references_merge_only_under_their_largest_prediction() -> None:
    # The left prediction touches both references, but the right one covers more of the second: no merge.
    found = count_overlaps(*(number_in_file_order(row(text) == 2) for text in ("2222.2222", "22.222222")))
    clean = detect(found, 0.0)
    assert [(pair.predictions, pair.references) for pair in clean.pairs] == [((0,), (0,)), ((1,), (1,))]


def test_detected_lesions_are_pooled_over_the_set() -> None:
    # Two lesions at Dice 1 in one case, one at 2 * 3 / 7 in the other: (1 + 1 + 6 / 7) / 3, not the mean of the means.
    drawn = (("12212", "12212"), ("12221", "12222"))
    for protocol in BOTH:
        lesion = summary(protocol, *drawn)["lesion"]
        assert lesion["detected_dice"].mean == pytest.approx((1 + 1 + 6 / 7) / 3)
        assert lesion["lesion_precision_gt50"].mean == 1
        assert lesion["dice_global"].mean == pytest.approx(2 * (3 + 3) / (6 + 7))
        assert lesion["dice"].mean == pytest.approx((1 + 6 / 7) / 2)


def test_nothing_detected_in_the_whole_set() -> None:
    drawn = (("1111", "1121"),)
    official, clean = (summary(protocol, *drawn)["lesion"] for protocol in ("lits_official", "lits"))
    metrics = ("dice", "jaccard", "voe", "rvd", "assd_mm", "rmsd_mm", "mssd_mm")
    assert [official[f"detected_{name}"].mean for name in metrics] == [0, 0, 1, 9001, 9001, 9001, 9001]
    assert {clean[f"detected_{name}"].mean for name in metrics} == {None}
    assert official["lesion_precision_gt50"].mean == official["lesion_recall_gt50"].mean == 0


def test_tumour_burden() -> None:
    # Burdens 1/4 against 2/4 and 4/4... : reference - prediction 1/4 - 3/4 = -1/2 and 2/4 - 1/4 = 1/4.
    drawn = (("1222", "1112"), ("1112", "1122"))
    official, clean = (summary(protocol, *drawn)["lesion"] for protocol in ("lits_official", "lits"))
    for lesion in (official, clean):
        assert lesion["burden_rmse"].mean == pytest.approx(math.sqrt((1 / 4 + 1 / 16) / 2))
    assert official["burden_max_error"].mean == pytest.approx(1 / 4)  # over-estimation never counts
    assert clean["burden_max_error"].mean == pytest.approx(1 / 2)
    assert scores("lits_official", "2222", "1122")["lesion"]["burden_difference"] == pytest.approx(1 / 2 - 9001)
    assert scores("lits", "....", "1122")["lesion"]["burden_difference"] is None
    assert scores("lits_official", "1111", "....")["lesion"]["burden_difference"] is None


@pytest.mark.parametrize("golden", TABLE["cases"], ids=lambda golden: golden["seed"])
def test_detection_equals_that_of_the_scorer(golden: dict[str, Any]) -> None:
    prediction, reference = MASKS(golden["seed"])
    found = count_overlaps(number_in_file_order(prediction), number_in_file_order(reference))
    for suffix, threshold in (("gt0", 0.0), ("gt50", 0.5)):
        made = detect_official(found, threshold)
        assert [made.tp, made.fp, made.fn] == golden[suffix]
    scored = values(case("lits_official", 1 + prediction.astype(np.uint8), 1 + reference.astype(np.uint8)))["lesion"]
    assert scored["detected"] == golden["detected"]
    assert scored["detected_dice"] == (
        None if golden["detected_dice"] is None else pytest.approx(golden["detected_dice"])
    )


def test_components_are_numbered_as_files_are_read() -> None:
    for seed in range(5):
        prediction, _ = MASKS(seed)
        expected = ndimage.label(np.ascontiguousarray(prediction.T))[0].T
        assert np.array_equal(number_in_file_order(prediction), expected)


def test_labels_by_region_by_number_or_by_another_name() -> None:
    nested = LabelSpace.parse({"background": 0, "liver": [1, 2], "tumor": [2]}, [1, 2])
    numbers = LabelSpace(("1", "2"), ((1,), (2,)))
    expected = {"liver": (1, 2), "lesion": (2,), "liver without lesions": (1,)}
    for labels in (LABELS, nested, numbers):
        assert load_protocol("lits").regions(labels) == expected
    with pytest.raises(SpecError, match=r"no label of the data set is the region 'lesion'.*lesions, tumor"):
        load_protocol("lits").regions(LabelSpace.parse({"background": 0, "liver": 1}))


def test_without_names_or_lesions_the_liver_is_scored() -> None:
    labels = LabelSpace(("1",), ((1,),))
    regions = evaluate_case(row("11."), row("11."), spacing_mm=(1, 1, 1), labels=labels, protocol=load_protocol("lits"))
    assert (regions["liver"]["dice"].value, regions["lesion"]["dice"].value) == (1, 1)


def test_the_evaluate_stage_scores_a_folder(tmp_path: Path) -> None:
    for number, (prediction, reference) in enumerate((("12212", "12212"), ("12221", "12222"))):
        for side, drawn in (("p", prediction), ("r", reference)):
            write_label(tmp_path / side / f"{number}.nii.gz", row(drawn), Geometry((1, 1, 5), (1.0, 1.0, 1.0)))
    options = evaluate.Options(
        tmp_path / "p", tmp_path / "r", tmp_path / "report.json", protocol="lits-official", workers=1
    )
    report = evaluate.run(options, Workspace(tmp_path / "workspace"))
    assert report.summary["lesion"]["detected_dice"].mean == pytest.approx((1 + 1 + 6 / 7) / 3)
    assert Report.load(tmp_path / "report.json").definitions["rvd"].startswith("(|R| - |P|) / |P|")
