"""The choice of steps equals nnU-Net v2's, and says why."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from autoseg.core.errors import DatasetError, GeometryError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.io.images import write_label
from autoseg.io.label_files import LabelPair, pair_label_files
from autoseg.metrics.dice import RegionDice, region_dice
from autoseg.postprocessing import apply_steps
from autoseg.postprocessing._measure import measure_sequences
from autoseg.postprocessing._select import select_steps
from autoseg.specs.document import Component

GOLDEN = Path(__file__).parents[1] / "golden"
ANSWERS = json.loads((GOLDEN / "postprocessing.json").read_text())["answers"]
TWO = LabelSpace.parse({"background": 0, "first": 1, "second": 2})
REGIONS = LabelSpace.parse({"background": 0, "whole": [1, 2], "core": [2]}, (1, 2))
SPACING = (1.0, 1.0, 1.0)


def load_maps() -> ModuleType:
    spec = importlib.util.spec_from_file_location("postprocessing_maps", GOLDEN / "postprocessing_maps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


MAPS = load_maps()


def write_pairs(folder: Path, maps: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[LabelPair, ...]:
    for index, pair in enumerate(maps):
        for part, array in zip(("predictions", "references"), pair, strict=True):
            write_label(folder / part / f"case_{index}.nii.gz", array, Geometry(array.shape, SPACING))
    return pair_label_files(folder / "predictions", folder / "references")


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_steps_and_masks_equal_nnunet(name: str, tmp_path: Path) -> None:
    scenario, maps = MAPS.SCENARIOS[name], MAPS.make_maps(name)
    labels = LabelSpace.parse(scenario.labels, scenario.order)
    pairs = write_pairs(tmp_path, maps)
    chosen = select_steps(labels, lambda steps: measure_sequences(pairs, labels, steps, workers=1))
    assert [step.options["labels"] for step in chosen.steps] == ANSWERS[name]["steps"]
    for index, (prediction, _) in enumerate(maps):
        cleaned = apply_steps(chosen.steps, prediction, SPACING)
        assert hashlib.sha256(cleaned.tobytes()).hexdigest()[:16] == ANSWERS[name]["cleaned"][f"case_{index}"]
    # The summary is what the cleaned masks really score.
    scored = [region_dice(apply_steps(chosen.steps, mask, SPACING), reference, labels) for mask, reference in maps]
    for region, mean in chosen.after.items():
        assert mean == pytest.approx(np.mean([case[region] for case in scored if case[region] is not None]), abs=1e-12)


def test_the_golden_cases_ask_for_every_kind_of_answer() -> None:
    kinds = {tuple(len(step) for step in answer["steps"]) for answer in ANSWERS.values()}
    assert {(), (1,), (2, 1), (3, 2, 1)} <= kinds


class Told:
    """Scores by the labels of the steps."""

    def __init__(self, **scores: RegionDice) -> None:
        self.scores = scores
        self.calls: list[int] = []

    def __call__(self, sequences: Sequence[tuple[Component, ...]]) -> list[RegionDice]:
        self.calls.append(len(sequences))
        names = ["_".join(["s", *("".join(map(str, step.options["labels"])) for step in steps)]) for steps in sequences]
        return [self.scores[name] for name in names]


def test_all_foreground_is_kept_if_the_mean_rises_and_no_region_falls() -> None:
    same: RegionDice = {"first": 0.5, "second": 0.9}
    told = Told(s={"first": 0.5, "second": 0.8}, s_12=same, s_12_1=same, s_12_2=same)
    chosen = select_steps(TWO, told)
    assert [step.options for step in chosen.steps] == [{"labels": [1, 2]}]
    assert "0.65000 to 0.70000" in chosen.trials[0].reason
    assert "no region falls" in chosen.trials[0].reason
    assert told.calls == [2, 2]  # one pass for the foreground, one for both labels


def test_a_falling_region_is_a_veto_and_labels_are_tried_alone() -> None:
    before: RegionDice = {"first": 0.5, "second": 0.8}
    after: RegionDice = {"first": 0.9, "second": 0.8}
    fallen: RegionDice = {"first": 0.9, "second": 0.79}
    chosen = select_steps(TWO, Told(s=before, s_12=fallen, s_1=after, s_2={"first": 0.5, "second": 0.7}))
    assert [step.options for step in chosen.steps] == [{"labels": [1]}]
    assert "that of second falls (0.80000 to 0.79000)" in chosen.trials[0].reason
    assert [trial.kept for trial in chosen.trials] == [False, True, False]
    assert (chosen.before, chosen.after) == (before, after)


def test_equal_scores_keep_nothing() -> None:
    same: RegionDice = {"first": 0.5, "second": None}
    chosen = select_steps(TWO, Told(s=same, s_12=same, s_1=same, s_2=same))
    assert chosen.steps == ()
    assert chosen.after == same
    assert "does not rise (0.50000 to 0.50000)" in chosen.trials[1].reason
    assert "(undefined to undefined)" in chosen.trials[2].reason


def test_a_region_no_case_has_is_no_veto() -> None:
    before: RegionDice = {"first": 0.5, "second": None}
    after: RegionDice = {"first": 0.6, "second": None}
    assert len(select_steps(TWO, Told(s=before, s_12=after, s_12_1=after, s_12_2=after)).steps) == 1
    nowhere: RegionDice = {"first": None, "second": None}
    assert select_steps(TWO, Told(s=nowhere, s_12=nowhere, s_1=nowhere, s_2=nowhere)).steps == ()


def test_overlapping_regions_are_tried_one_after_the_other() -> None:
    start: RegionDice = {"whole": 0.5, "core": 0.5}
    better: RegionDice = {"whole": 0.6, "core": 0.4}
    best: RegionDice = {"whole": 0.55, "core": 0.45}
    # The foreground and the region `whole` are the same labels: the same step, judged by different rules.
    chosen = select_steps(REGIONS, Told(s=start, s_12=better, s_12_2=best))
    assert [step.options["labels"] for step in chosen.steps] == [[1, 2], [2]]
    assert [trial.kept for trial in chosen.trials] == [False, True, True]
    assert chosen.after == best


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_case_is_named(tmp_path: Path, workers: int) -> None:
    good = np.zeros((3, 4, 5), np.uint8)
    pairs = write_pairs(tmp_path, [(good, good), (good, np.zeros((3, 4, 6), np.uint8))])
    with pytest.raises(DatasetError, match=r"case case_1: the prediction has the shape \(3, 4, 5\).*case_1\.nii\.gz"):
        measure_sequences(pairs, TWO, [()], workers=workers)


def test_dice_refuses_other_grids_and_labels() -> None:
    labels = np.zeros((2, 3, 4), np.uint8)
    with pytest.raises(GeometryError, match="predict on the grid of the reference"):
        region_dice(labels[:1], labels, TWO)
    with pytest.raises(DatasetError, match="the prediction holds values from 0 to 7, labels end at 2"):
        region_dice(np.pad(labels, 1, constant_values=7)[1:, 1:, 1:], np.pad(labels, 1)[1:, 1:, 1:], TWO)
    with pytest.raises(DatasetError, match="the reference holds values from -1"):
        region_dice(labels, labels.astype(np.int16) - 1, TWO)
