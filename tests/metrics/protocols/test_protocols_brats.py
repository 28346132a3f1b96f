"""BraTS by year: lesion rules on drawn rows with the arithmetic beside them; 2025 against panoptica.

Rows are drawn along x with 1 mm voxels: '.' background, digits are label values.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.core.errors import RegistryError, SpecError
from autoseg.core.labels import LabelSpace
from autoseg.datasets.brats import EDITIONS
from autoseg.metrics import evaluate_case
from autoseg.metrics.components import Overlaps
from autoseg.metrics.protocols import load_protocol
from autoseg.metrics.protocols._brats2025_metastases import large_and_small
from autoseg.metrics.protocols.brats2025 import match_best

GOLDEN = Path(__file__).parents[2] / "golden"
TABLE = json.loads((GOLDEN / "panoptica_2_1_7.json").read_text())
LESIONWISE = json.loads((GOLDEN / "brats_lesionwise.json").read_text())
LESIONS = runpy.run_path(str(GOLDEN / "lesion_masks.py"))
NUMBERS = LabelSpace(tuple("1234"), tuple((value,) for value in range(1, 5)))
DIAGONAL_MM = 373.12866


def row(text: str) -> np.ndarray:
    return np.array([[[0 if letter == "." else int(letter) for letter in text]]], np.uint8)


def score(protocol: str, prediction: Any, reference: Any, labels: LabelSpace = NUMBERS) -> dict[str, Any]:
    p, r = (row(image) if isinstance(image, str) else image for image in (prediction, reference))
    found = evaluate_case(p, r, spacing_mm=(1, 1, 1), labels=labels, protocol=load_protocol(protocol))
    return {region: {name: made.value for name, made in metrics.items()} for region, metrics in found.items()}


def lesions(found: dict[str, Any]) -> list[float]:
    return [found[f"lesions_{name}"] for name in ("tp", "fp", "fn")]


@pytest.mark.parametrize(
    ("protocol", "whole", "core", "enhancing"),
    [
        ("brats2020", (1, 2, 3, 4), (1, 3, 4), (4,)),
        ("brats2023", (1, 2, 3), (1, 3), (3,)),
        ("brats2024:ped", (1, 2, 3, 4), (1, 2, 3), (1,)),
    ],
)
def test_regions_by_the_challenges_own_values(
    protocol: str, whole: tuple[int, ...], core: tuple[int, ...], enhancing: tuple[int, ...]
) -> None:
    regions = load_protocol(protocol).regions(NUMBERS)
    assert (regions["WT"], regions["TC"], regions["ET"]) == (whole, core, enhancing)


@pytest.mark.parametrize(
    ("protocol", "edition", "expected"),
    [
        ("brats2024:gli", "2024", {"NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}),
        ("brats2024:ped", "ped", {"ET": 1, "NETC": 2, "CC": 3, "ED": 4}),
    ],
)
def test_tissues_that_a_data_set_of_regions_does_not_name(
    protocol: str, edition: str, expected: dict[str, int]
) -> None:
    """What remains of the core without enhancing tumour and cyst, and of the whole without the core."""
    known = EDITIONS[edition]
    regions = load_protocol(protocol).regions(
        LabelSpace(tuple(known.regions), tuple(known.regions.values()), class_order=known.class_order)
    )
    assert {name: tuple(known.original[value] for value in regions[name]) for name in expected} == {
        name: (value,) for name, value in expected.items()
    }
    whole_alone = LabelSpace(("whole_tumor", "enhancing_tumor"), ((1, 2), (2,)), class_order=(1, 2))
    assert set(load_protocol(protocol).regions(whole_alone)) == {"WT", "TC", "ET"}


@pytest.mark.parametrize("protocol", ["brats2020", "brats2023", "brats2024", "brats2025"])
def test_regions_by_name_whatever_their_values(protocol: str) -> None:
    nested = LabelSpace.parse({"background": 0, "whole tumor": [1, 2, 3], "core": [2, 3], "ET": [3]}, [1, 2, 3])
    plain = LabelSpace.parse({"background": 0, "edema": 1, "non_enhancing": 2, "Enhancing Tumour": 3})
    expected = {"WT": (1, 2, 3), "TC": (2, 3), "ET": (3,)}
    for labels in (nested, plain):
        found = load_protocol(protocol).regions(labels)
        assert {name: found[name] for name in expected} == expected
        assert "RC" not in found
    with pytest.raises(SpecError, match="no label of the data set is the region 'WT'"):
        load_protocol(protocol).regions(LabelSpace.parse({"background": 0, "spleen": 1}))


def test_2020_has_a_number_for_every_empty_case() -> None:
    found = score("brats2020", "4....", "1222.")
    assert (found["ET"]["dice"], found["ET"]["hd95_mm"]) == (0, pytest.approx(DIAGONAL_MM, abs=1e-5))
    found = score("brats2020", "1222.", "1222.")
    assert (found["ET"]["dice"], found["ET"]["hd95_mm"]) == (1, 0)
    assert (found["TC"]["sensitivity"], found["TC"]["specificity"]) == (1, 1)
    assert found["ET"]["sensitivity"] is None


def test_2021_has_a_penalty_of_its_own() -> None:
    found = score("brats2020:2021", "4....", "1222.")
    assert (found["ET"]["dice"], found["ET"]["hd95_mm"]) == (0, 374)
    assert "HD95 374.0" in load_protocol("brats2020:2021").definitions()["empty masks"]
    assert score("brats2020:2021", "11111", "11...") == score("brats2020", "11111", "11...")


def test_2020_joins_both_lists_for_hd95() -> None:
    # P -> R 0 0 1 2 3, R -> P 0 0: the 95th percentile of 0 0 0 0 1 2 3 lies at 5.7 of 6: 2 + 0.7.
    found = score("brats2020", "11111", "11...")["WT"]
    assert found["hd95_mm"] == pytest.approx(2.7)
    assert found["dice"] == pytest.approx(4 / 7)


def test_2023_a_stray_voxel_costs_a_lesion() -> None:
    # f = 1, t = 2 (metastases): Dice (1 + 0) / 2, HD95 (0 + 374) / 2; the whole region 2 * 3 / 7.
    found = score("brats2023:met", "111.......1", "111........")["WT"]
    assert lesions(found) == [1, 1, 0]
    assert (found["lesionwise_dice"], found["lesionwise_hd95_mm"]) == (0.5, 187)
    assert found["dice"] == pytest.approx(6 / 7)


def test_2023_a_missed_lesion() -> None:
    found = score("brats2023:met", "111........", "111.....111")["WT"]
    assert lesions(found) == [1, 0, 1]
    assert (found["lesionwise_dice"], found["lesionwise_hd95_mm"]) == (0.5, 187)


def test_2023_small_reference_lesions_count_nowhere() -> None:
    # Two voxels are not above t = 2; what touches them is no false positive; 0 / 0 is perfect.
    found = score("brats2023:met", "111....", "11.....")["WT"]
    assert lesions(found) == [0, 0, 0]
    assert (found["lesionwise_dice"], found["lesionwise_hd95_mm"]) == (1, 0)


@pytest.mark.parametrize(("gap", "number"), [(1, 1), (2, 1), (3, 2)])
def test_2023_reference_pieces_that_meet_once_dilated_are_one_lesion(gap: int, number: int) -> None:
    # One dilation closes a gap of two, since dilated pieces side by side are connected.
    text = "111" + "." * gap + "111"
    found = score("brats2023:met", text, text)["WT"]
    assert lesions(found)[0] == number
    assert found["lesionwise_dice"] == 1


@pytest.mark.parametrize("protocol", ["brats2023:met", "brats2024:met", "brats2024"])
def test_air_around_the_image_changes_nothing(protocol: str) -> None:
    prediction, reference = (mask.astype(np.uint8) for mask in LESIONS["masks"](3))
    padded = score(protocol, np.pad(prediction, 7), np.pad(reference, 7))["WT"]
    found = score(protocol, prediction, reference)["WT"]
    assert {**padded, "specificity": 0} == pytest.approx({**found, "specificity": 0})


def test_2023_three_dilations_for_gliomas() -> None:
    block = np.zeros((6, 6, 30), np.uint8)
    block[1:5, 1:5, 2:6] = block[1:5, 1:5, 12:16] = 1  # 64 mm3 each, above 50; a gap of 6 = 2 * 3
    assert lesions(score("brats2023", block, block)["WT"]) == [1, 0, 0]
    assert lesions(score("brats2023:men", block, block)["WT"]) == [2, 0, 0]


def test_2023_whole_components_are_assigned_and_may_serve_twice() -> None:
    # One piece of 9 over two lesions of 3: each Dice 2 * 3 / 12, no false positive.
    found = score("brats2023:met", "111111111", "111...111")["WT"]
    assert lesions(found) == [2, 0, 0]
    assert found["lesionwise_dice"] == pytest.approx(0.5)
    # Next to the lesion is touching its dilation: found, at Dice 0, and no false positive.
    beside = score("brats2023:met", "...1111", "111....")["WT"]
    assert lesions(beside) == [1, 0, 0]
    assert beside["lesionwise_dice"] == 0


def test_2023_empty_regions() -> None:
    found = score("brats2023:met", "1111", "1222")["ET"]
    assert (found["dice"], found["hd95_mm"], found["lesionwise_dice"], found["sensitivity"]) == (1, 0, 1, 1)
    found = score("brats2023:met", "3333", "1222")["ET"]
    assert (found["dice"], found["hd95_mm"], found["lesionwise_hd95_mm"], found["sensitivity"]) == (0, 374, 374, 0)


def test_2024_removes_small_predicted_pieces_first() -> None:
    # Two voxels are not above t = 2: removed, so no false positive, and the whole region is perfect too.
    found = score("brats2024:met", "111......11", "111........")["WT"]
    assert lesions(found) == [1, 0, 0]
    assert (found["lesionwise_dice"], found["dice"]) == (1, 1)
    # Joined by dilation first: 1 + 2 voxels with a gap of two are one piece of 3, which stays.
    assert lesions(score("brats2024:met", "111......1..11", "111...........")["WT"]) == [1, 1, 0]
    assert lesions(score("brats2023:met", "111......1..11", "111...........")["WT"]) == [1, 2, 0]


def test_2024_gliomas_have_a_smaller_image_and_nsd() -> None:
    reference = np.zeros((6, 6, 20), np.uint8)
    reference[1:5, 1:5, 1:5] = 3
    nothing = score("brats2024", np.zeros_like(reference), reference)["ET"]
    assert (nothing["hd95_mm"], nothing["lesionwise_hd95_mm"], nothing["lesionwise_nsd_1mm"]) == (337, 337, 0)
    moved = np.roll(reference, 1, axis=2)
    found = score("brats2024", moved, reference)["ET"]
    # 56 of 64 voxels are surface. Within 0.5 mm lies what both surfaces share: those of the ring around x = 2..4 (12
    # each), and 4 of either end whose inner voxels lie inside the other mask; all 56 are within 1 mm.
    shared = np.count_nonzero(_shell(moved) & _shell(reference)) / 56
    assert found["nsd_0.5mm"] == pytest.approx(shared)
    assert found["nsd_1mm"] == 1


def _shell(labels: np.ndarray) -> np.ndarray:
    mask = labels > 0
    inside = mask.copy()
    for axis in range(3):
        inside &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    return mask & ~inside


def test_2024_lesions_that_touch_one_lesion_of_another_class_are_one() -> None:
    # Two NETC blocks far apart at both ends of one ET bar: one NETC lesion; without the bar two.
    bar = np.zeros((6, 6, 44), np.uint8)
    bar[1:5, 1:5, 2:6] = bar[1:5, 1:5, 34:38] = 1
    alone = lesions(score("brats2024", bar, bar)["NETC"])
    bar[1:5, 1:5, 6:34] = 3
    assert alone == [2, 0, 0]
    assert lesions(score("brats2024", bar, bar)["NETC"]) == [1, 0, 0]


def test_2024_the_misspelt_class_keeps_three_dilations() -> None:
    # A gap of 8: closed by 5 dilations (NETC), not by 3 (SNFH, which the code calls SFNH).
    block = np.zeros((6, 6, 30), np.uint8)
    block[1:5, 1:5, 2:6] = block[1:5, 1:5, 14:18] = 1
    assert lesions(score("brats2024", block, block)["NETC"]) == [1, 0, 0]
    assert lesions(score("brats2024", 2 * block, 2 * block)["SNFH"]) == [2, 0, 0]


def test_2024_metastases_join_enhancing_pieces_by_their_necrosis() -> None:
    labels = LabelSpace.parse({"background": 0, "NETC": 1, "SNFH": 2, "ET": 3})
    text = "333111111333"
    found = score("brats2024:met", text, text, labels)
    assert lesions(found["ET"]) == [1, 0, 0]
    assert list(found) == ["WT", "TC", "ET"]


def test_2024_radiotherapy_does_not_average_false_positives() -> None:
    labels = LabelSpace.parse({"background": 0, "GTV": 1})
    reference = np.zeros((8, 8, 40), np.uint8)
    reference[1:5, 1:5, 2:6] = 1
    prediction = reference.copy()
    prediction[6, 6, 30] = 1
    found = score("brats2024:men-rt", prediction, reference, labels)["GTV"]
    assert (found["lesions_fp"], found["lesionwise_dice"], found["lesionwise_hd95_mm"]) == (1, 1, 0)
    missed = score("brats2024:men-rt", np.zeros_like(reference), reference, labels)["GTV"]
    assert missed["lesionwise_hd95_mm"] == pytest.approx((8**2 + 8**2 + 40**2) ** 0.5)


@pytest.mark.parametrize("golden", LESIONWISE["cases"], ids=lambda golden: f"{golden['protocol']}-{golden['seed']}")
def test_lesionwise_scores_equal_the_published_steps(golden: dict[str, Any]) -> None:
    prediction, reference = (mask.astype(np.uint8) for mask in LESIONS["masks"](golden["seed"]))
    labels = LabelSpace.parse({"background": 0, "NETC": 1, "ET": 2})
    rules = load_protocol(golden["protocol"])
    made = evaluate_case(prediction, reference, spacing_mm=LESIONS["SPACING_MM"], labels=labels, protocol=rules)["WT"]
    assert [made[f"lesions_{name}"].value for name in ("tp", "fp", "fn")] == golden["lesions"]
    assert made["lesionwise_dice"].value == pytest.approx(golden["dice"], abs=1e-9)
    assert made["lesionwise_hd95_mm"].value == pytest.approx(golden["hd95_mm"], abs=1e-4)


@pytest.mark.parametrize("golden", TABLE["cases"], ids=lambda golden: golden["seed"])
def test_2025_equals_panoptica(golden: dict[str, float | None]) -> None:
    prediction, reference = (mask.astype(np.uint8) for mask in LESIONS["masks"](golden["seed"]))
    rules = load_protocol("brats2025:men-rt")
    labels = LabelSpace.parse({"background": 0, "GTV": 1})
    made = evaluate_case(prediction, reference, spacing_mm=LESIONS["SPACING_MM"], labels=labels, protocol=rules)["GTV"]
    for name, value in golden.items():
        if name != "seed":
            assert made[name].value == (None if value is None else pytest.approx(value, abs=1e-4)), name


def test_2025_empty_masks() -> None:
    neither = score("brats2025", "1111", "1111")["ET"]
    assert {neither[name] for name in ("lesionwise_dice", "global_dice", "lesion_f1")} == {None}
    invented = score("brats2025", "3333", "1111")["ET"]
    assert [invented[f"lesionwise_{name}"] for name in ("dice", "nsd", "hd95_mm")] == [0, 0, 373]
    assert [invented[f"global_{name}"] for name in ("dice", "nsd", "hd95_mm")] == [0, 0, 373]


def test_2025_matches_for_the_largest_sum() -> None:
    # Sizes 10 each; P0 overlaps R0 by 6 and R1 by 5, P1 overlaps R0 by 5: 0.5 + 0.5 beats 0.6 alone.
    found = Overlaps(np.array([11, 10]), np.array([11, 10]), np.array([[6, 5], [5, 0]]))
    assert sorted(match_best(found)) == [(0, 1), (1, 0)]
    assert match_best(Overlaps(np.array([3]), np.array([3]), np.array([[0]]))) == []


def test_2025_metastases_by_size() -> None:
    # 30 and 40 mm3 are large, 8 mm3 small; one large is missed; two predictions are invented.
    matched = {0: {"dice": 0.6, "nsd": 0.5, "hd95_mm": 3.0}, 2: {"dice": 0.1, "nsd": 0.1, "hd95_mm": 9.0}}
    found = {name: score.value for name, score in large_and_small([30, 40, 8], matched, 2).items()}
    assert found["lesionwise_dice"] == pytest.approx(0.6 / 4)
    assert found["lesionwise_hd95_mm"] == pytest.approx((3 + 3 * 373) / 4)
    assert [found[f"large_lesions_{name}"] for name in ("tp", "fp", "fn")] == [1, 2, 1]
    assert [found[f"small_lesions_{name}"] for name in ("tp", "fp", "fn")] == [0, 2, 1]  # Dice 0.1 < 0.2
    none = {name: score.value for name, score in large_and_small([], {}, 0).items()}
    assert (none["lesionwise_dice"], none["small_lesions_tp"], none["large_lesions_tp"]) == (None, None, 0)
    assert score("brats2025:met", "111", "111")["WT"]["small_lesions_tp"] == 1


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(RegistryError, match="option 'variant' = 'liver'"):
        load_protocol("brats2023:liver")
