"""The arithmetic of the cascade's comparison."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.cascade import LABELS, SIDES, bootstrap_interval, dice, markdown, summary, trained_seconds


def rows(gain: float, seconds: tuple[float, float]) -> list[dict]:
    return [
        {
            "dice": {
                "cascade": {"liver": 0.9, "tumour": 0.4 + gain + 0.01 * number},
                "single stage": {"liver": 0.9, "tumour": 0.4 + 0.01 * number},
            },
            "seconds": dict(zip(SIDES, seconds, strict=True)),
        }
        for number in range(20)
    ]


def test_the_difference_is_paired() -> None:
    found = summary(rows(0.05, (1.0, 4.0)))
    assert found["tumour Dice"]["difference"] == pytest.approx(0.05)
    assert found["tumour Dice"]["interval"] == pytest.approx([0.05, 0.05]), "the cases' own spread drops out"
    assert found["liver Dice"]["interval"] == [0.0, 0.0]
    assert found["seconds per case"]["ratio"] == 0.25


def test_the_interval_is_that_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.2, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)
    assert bootstrap_interval(values) == (low, high)


def test_the_liver_includes_its_tumours() -> None:
    truth, found = np.array([0, 1, 1, 2]), np.array([0, 0, 2, 2])
    assert dice(found, truth, LABELS["liver"]) == pytest.approx(4 / 5)
    assert dice(found, truth, LABELS["tumour"]) == pytest.approx(2 / 3)


def test_the_time_is_that_of_every_fold_of_every_stage(tmp_path) -> None:
    side = SIDES["cascade"]
    for name, fold, epochs in (("3d_organ", 0, 2), ("3d_organ", 1, 3), ("3d_roi_fullres", 0, 4)):
        folder = tmp_path / "runs" / "Dataset001_PhantomLiver" / side.method / name / f"fold_{fold}"
        folder.mkdir(parents=True)
        (folder / "log.jsonl").write_text((json.dumps({"time": {"seconds": 1.5}}) + "\n") * epochs)
    assert trained_seconds(tmp_path, side) == 9 * 1.5


def test_the_table_says_what_was_found() -> None:
    document = {
        "machine": {"cpu_model": "X", "cores": 2},
        "load": 0.5,
        "minutes": 20.0,
        "data": {
            "seed": 1,
            "cases": 40,
            "test_cases": 20,
            "size": "64x96x96",
            "tumour_share": "0.01,0.03",
            "tumour_contrast": "10,25",
        },
        "training_s": {"cascade": 1190.0, "single stage": 1195.0},
        "liver_box_share": {"least": 0.25, "median": 0.3, "most": 0.35},
        "summary": summary(rows(0.05, (1.0, 4.0))),
    }
    text = markdown(document)
    assert "| tumour Dice | 0.545 | 0.495 | difference +0.050 (95 % +0.050 to +0.050) |" in text
    assert "| seconds per case | 1.00 | 4.00 | ratio 0.25 |" in text
    assert "30% of the image (25% to 35%)" in text
