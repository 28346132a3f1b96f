"""The table of losses and skips: means over seeds and cases, paired intervals, collapsed labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from autoseg.specs.report import CaseScores, Report, Score
from benchmarks import _commands, godc_lfam

REGIONS = ("anterior", "posterior")


def report(dice: Sequence[Sequence[float | None]], recall: float = 0.5) -> Report:
    """One case per row, one region per column."""
    return Report(
        protocol="test",
        definitions={},
        cases=tuple(
            CaseScores(
                id=f"case_{index}",
                regions={
                    region: {"dice": Score(value=value), "recall": Score(value=recall)}
                    for region, value in zip(REGIONS, row, strict=True)
                },
            )
            for index, row in enumerate(dice)
        ),
        summary={},
    )


def random_dice(seed: int, cases: int = 20) -> list[list[float | None]]:
    return np.random.default_rng(seed).uniform(0.4, 0.9, (cases, 2)).tolist()


def test_means_are_over_seeds_first_then_cases() -> None:
    seeds = [report([[0.2, 0.6], [0.4, 0.8]]), report([[0.4, 0.8], [0.6, 1.0]])]
    found = godc_lfam.row("GODC", seeds, seeds)
    assert found["dice"]["anterior"]["mean"] == pytest.approx(0.4)
    assert found["dice"]["posterior"]["mean"] == pytest.approx(0.8)
    assert found["mean dice"]["mean"] == pytest.approx(0.6)
    assert found["per seed"] == pytest.approx([0.5, 0.7])


def test_an_undefined_value_of_one_seed_does_not_count() -> None:
    seeds = [report([[None, 0.6], [0.4, 0.8]]), report([[0.3, 0.6], [0.4, 0.8]])]
    assert godc_lfam.row("GODC", seeds, seeds)["dice"]["anterior"]["mean"] == pytest.approx(0.35)


def test_differences_are_paired_by_case() -> None:
    base = [report(random_dice(seed)) for seed in range(3)]
    raised = [report([[(value or 0) + 0.05 for value in row] for row in random_dice(seed)]) for seed in range(3)]
    found = godc_lfam.row("GODC", raised, base)
    low, high = found["difference"]["ci95"]
    assert found["difference"]["mean"] == pytest.approx(0.05)
    assert high - low == pytest.approx(0, abs=1e-9), "cases differ, differences do not"
    low, high = found["mean dice"]["ci95"]
    assert low < found["mean dice"]["mean"] < high
    assert high - low > 0.03
    same = godc_lfam.row("Dice", base, base)["difference"]
    assert (same["mean"], same["ci95"]) == (0, [0, 0])


def test_intervals_narrow_with_the_cases() -> None:
    few, many = (
        godc_lfam.row("", [report(random_dice(0, cases))], [report(random_dice(0, cases))]) for cases in (8, 200)
    )
    widths = [one["mean dice"]["ci95"][1] - one["mean dice"]["ci95"][0] for one in (few, many)]
    assert widths[1] < widths[0] / 3


def test_a_label_without_recall_in_any_seed_is_collapsed() -> None:
    dice = random_dice(0)
    fine = godc_lfam.row("Dice", [report(dice), report(dice, recall=0.01)], [report(dice)] * 2)
    assert (fine["collapsed"], fine["least recall"]) == ([], {region: pytest.approx(0.01) for region in REGIONS})
    worst = godc_lfam.row("GODC", [report(dice), report(dice, recall=0.0)], [report(dice)] * 2)
    assert worst["collapsed"] == list(REGIONS)
    lines = godc_lfam.table([fine, worst]).splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| Dice | ")
    assert lines[3].endswith("0.000 (collapsed) |")
    assert "(collapsed)" not in lines[2]


def test_the_excerpt_holds_the_first_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(godc_lfam, "CASES", 2)
    source = tmp_path / "Task04"
    pairs = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in "abc"]
    for pair in pairs:
        for name in pair.values():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(name)
    spec = {"name": "x", "training": pairs, "numTraining": 3, "test": ["./imagesTs/d.nii.gz"], "numTest": 1}
    (source / "dataset.json").write_text(json.dumps(spec))
    for _ in range(2):  # again, as after an interruption
        target = godc_lfam._excerpt(source, tmp_path / "excerpt")
    found = json.loads((target / "dataset.json").read_text())
    assert (found["training"], found["numTraining"], found["test"], found["numTest"]) == (pairs[:2], 2, [], 0)
    assert sorted(path.name for path in (target / "labelsTr").iterdir()) == ["a.nii.gz", "b.nii.gz"]
    assert (target / "imagesTr" / "a.nii.gz").read_text() == "./imagesTr/a.nii.gz"


def test_all_methods_train_the_same_number_of_updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(_commands, "run_command", lambda line: called.append(line) or 0)
    for method in godc_lfam.METHODS.values():
        godc_lfam._train(tmp_path, method, seed=3, steps=150)
    for line, method in zip(called, godc_lfam.METHODS.values(), strict=True):
        assert line[line.index("--method") + 1] == method
        updates = int(line[line.index("--epochs") + 1]) * int(line[line.index("--iterations-per-epoch") + 1])
        assert (updates, line[line.index("--seed") + 1]) == (150, "3")
    assert len({tuple(word for word in line if word not in godc_lfam.METHODS.values()) for line in called}) == 1
    monkeypatch.setattr(_commands, "run_command", lambda line: 2)
    with pytest.raises(SystemExit, match="plan_and_train 4 --method unet_dice ended with 2"):
        godc_lfam._train(tmp_path, "unet_dice", seed=0, steps=3)
