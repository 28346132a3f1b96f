"""KiTS23, CHAOS and MSD, and what every protocol must say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.core.labels import LabelSpace
from autoseg.metrics import evaluate_case
from autoseg.metrics.protocols import PROTOCOLS, load_protocol
from autoseg.specs.report import CaseScores

KITS = LabelSpace.parse({"background": 0, "kidney": 1, "tumor": 2, "cyst": 3})
ORGAN = LabelSpace.parse({"background": 0, "liver": 1})
LABELS = {
    "lits": {"background": 0, "liver": 1, "tumor": 2},
    "lits_official": {"background": 0, "liver": 1, "tumor": 2},
    "kits19": {"background": 0, "kidney": 1, "tumor": 2},
    "kits23": {"background": 0, "kidney": 1, "tumor": 2, "cyst": 3},
}
BRAIN = {"background": 0, "NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}
VARIANTS = ("brats2020:2021", "brats2023:met", "brats2024:men_rt", "brats2024:met", "brats2025:met", "msd:liver")


def score(protocol: str, prediction: np.ndarray, reference: np.ndarray, labels: LabelSpace) -> dict[str, Any]:
    rules = load_protocol(protocol)
    found = evaluate_case(prediction, reference, spacing_mm=(1, 1, 1), labels=labels, protocol=rules)
    return {region: {name: made.value for name, made in metrics.items()} for region, metrics in found.items()}


def cube(start: int, value: int = 1) -> np.ndarray:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:8, 2:8, start : start + 6] = value
    return labels


def test_kits_scores_nested_classes() -> None:
    reference, prediction = cube(2), cube(2)
    reference[4, 4, 4:6], prediction[4, 4, 4:6] = 2, 3
    found = score("kits23", prediction, reference, KITS)
    assert {region: metrics["dice"] for region, metrics in found.items()} == {
        "kidney_and_mass": 1,
        "mass": 1,
        "tumor": 0,
    }
    assert found["tumor"]["nsd"] == 0
    nothing = score("kits23", cube(2), cube(2), KITS)["tumor"]
    assert (nothing["dice"], nothing["nsd"]) == (1, 1)


def test_kits_of_2019_scores_the_kidney_with_its_tumour() -> None:
    reference, prediction = cube(2), cube(2)
    reference[4, 4, 4:6], prediction[4, 4, 5:7] = 2, 2
    assert score("kits19", prediction, reference, KITS) == {"kidney": {"dice": 1}, "tumor": {"dice": 0.5}}
    assert score("kits19", cube(2), reference, KITS)["tumor"]["dice"] == 0
    assert score("kits19", cube(2), cube(2), KITS)["tumor"]["dice"] == 0
    rules, found = load_protocol("kits19"), []
    for case, mask in (("a", prediction), ("b", reference)):
        regions = evaluate_case(mask, reference, spacing_mm=(1, 1, 1), labels=KITS, protocol=rules)
        found.append(CaseScores(id=case, regions=regions))
    assert rules.summary(found)["mean"]["dice"].mean == pytest.approx((1 + 0.75) / 2)


def test_kits_tolerance_lies_between_one_voxel_and_two() -> None:
    assert score("kits23", cube(3), cube(2), KITS)["kidney_and_mass"]["nsd"] == 1
    assert score("kits23", cube(4), cube(2), KITS)["kidney_and_mass"]["nsd"] < 0.9


def test_chaos_distances() -> None:
    # Moved by one voxel: 0 on the shared sides, 1 on the two faces that moved.
    found = score("chaos", cube(3), cube(2), ORGAN)["liver"]
    assert found["dice"] == pytest.approx(5 / 6)
    assert found["ravd_percent"] == 0
    assert found["mssd_mm"] == 1
    # Each surface has 6^3 - 4^3 = 152 voxels; 16 of one end's inside are 1 mm off, and 36 of the other's.
    assert found["assd_mm"] == pytest.approx((36 + 16) / 152)
    half = cube(2)
    half[:, :, 5:] = 0
    assert score("chaos", half, cube(2), ORGAN)["liver"]["ravd_percent"] == pytest.approx(50)


def test_chaos_masks_go_on_beyond_the_image() -> None:
    # A slab through the whole image: only its two faces are surface. The prediction is one voxel thicker on one side,
    # so of the 4 faces' distances (0, 1, 0, 1) the mean is 1/2; edges of the image would add zeros.
    reference, prediction = np.zeros((6, 6, 12), np.uint8), np.zeros((6, 6, 12), np.uint8)
    reference[:, :, 3:8], prediction[:, :, 3:9] = 1, 1
    assert score("chaos", prediction, reference, ORGAN)["liver"]["assd_mm"] == pytest.approx(1 / 2)
    inside = np.pad(reference, 1), np.pad(prediction, 1)
    assert score("chaos", inside[1], inside[0], ORGAN)["liver"]["assd_mm"] < 1 / 3
    full = np.ones((3, 3, 3), np.uint8)
    assert score("chaos", full, full, ORGAN)["liver"]["assd_mm"] is None


def test_chaos_empty_masks() -> None:
    nothing = np.zeros_like(cube(2))
    missed = score("chaos", nothing, cube(2), ORGAN)["liver"]
    assert (missed["dice"], missed["ravd_percent"], missed["assd_mm"]) == (0, 100, None)
    invented = score("chaos", cube(2), nothing, ORGAN)["liver"]
    assert (invented["dice"], invented["ravd_percent"], invented["mssd_mm"]) == (0, None, None)
    assert set(score("chaos", nothing, nothing, ORGAN)["liver"].values()) == {None}


def test_msd_takes_the_tolerance_of_the_task() -> None:
    apart = cube(4)
    assert score("msd", apart, cube(2), ORGAN)["liver"]["nsd"] < 0.9
    assert score("msd:liver", apart, cube(2), ORGAN)["liver"]["nsd"] == 1
    assert "7 mm (task liver)" in load_protocol("msd:liver").definitions()["nsd"]
    assert "not the challenge's" in load_protocol("msd").definitions()["nsd"]
    assert load_protocol("msd", {"tolerance_mm": 2.0}).tolerance_mm == 2  # type: ignore[attr-defined]
    found = score("msd", apart, apart, ORGAN)["liver"]
    assert (found["dice"], found["nsd"]) == (1, 1)
    assert score("msd", apart, np.zeros_like(apart), ORGAN)["liver"]["nsd"] == 0


def test_every_protocol_of_the_challenges_is_there() -> None:
    expected = {"autoseg", "brats2020", "brats2023", "brats2024", "brats2025"}
    assert set(PROTOCOLS.names()) == expected | {"chaos", "kits19", "kits23", "lits", "lits_official", "msd"}
    assert type(load_protocol("lits-official")) is type(load_protocol("lits_official"))


@pytest.mark.parametrize("protocol", [*PROTOCOLS.names(), *VARIANTS])
def test_reports_define_what_they_hold(protocol: str, tmp_path: Path) -> None:
    named = {"background": 0, "GTV": 1} if protocol.endswith("men_rt") else LABELS.get(protocol, BRAIN)
    labels = LabelSpace.parse(named)
    rules = load_protocol(protocol)
    generator = np.random.default_rng(0)
    images = [
        cube(2),
        cube(3),
        generator.integers(0, len(named), (12, 12, 12)).astype(np.uint8),
        np.zeros_like(cube(0)),
    ]
    cases = [
        CaseScores(id=str(number), regions=evaluate_case(p, r, spacing_mm=(3, 1, 1), labels=labels, protocol=rules))
        for number, (p, r) in enumerate((p, r) for p in images for r in images)
    ]
    summary = rules.summary(cases)
    text = json.dumps([case.model_dump() for case in cases], allow_nan=False)
    assert json.dumps({k: {m: s.model_dump() for m, s in v.items()} for k, v in summary.items()}, allow_nan=False)
    assert text
    words = rules.definitions()
    for topic in ("empty", "component") if protocol.startswith("lits") else ("empty masks", "lesions"):
        assert any(topic in name for name in words), topic
