"""Rows of training and prediction from given runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import small_configuration

from autoseg.core.geometry import Geometry
from autoseg.io.images import write_label
from autoseg.specs.method import PredictChoices
from autoseg.specs.model import Member, Model
from benchmarks import _models, _rows_prediction, _rows_training
from benchmarks._bench import Bench
from benchmarks._machine import Rates
from benchmarks._measure import Measurement
from benchmarks._ours_prediction import operations_per_pass

PLAN = {"batch": 7, "patch": [8, 8, 8], "features": [4, 8], "parameters": 100}
SECONDS = {
    "augment": {"ours": {"seconds": 0.1, "source": [9, 9, 9]}, "peer": {"seconds": 0.5, "source": [9, 9, 9]}},
    "step": {"ours": {"seconds": [1.0, 1.2, 1.1], **PLAN}, "peer": {"seconds": [3.0, 3.3], **PLAN, "batch": 8}},
    "split": {
        "ours": {"load": 0.1, "augment": 0.2, "network": 1.0, "update": 0.05},
        "peer": {"load": 0.2, "augment": 1.0, "network": 2.0, "update": 0.1},
    },
    "bare": {"ours": {"whole": [1.02, 1.03], "alone": [1.0, 1.0]}},
}


@dataclass(frozen=True)
class Told(Bench):
    """Answers from a table, or by a function that writes masks."""

    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    commands: Callable[[str, Sequence[str]], None] = lambda side, command: None

    @cached_property
    def versions(self) -> dict[str, str]:
        return {}

    @cached_property
    def rates(self) -> Rates:
        return Rates("cpu", float32=1e11, bfloat16=2e11, copy=1e10)

    def script(self, side: str, python: Path, name: str, request: Any, **settings: Any) -> Measurement:
        self.asked.append((side, dict(request) | settings))
        if request["task"] == "predict":
            self.commands("float32", [str(request["output"])])
            return Measurement(2.0, 3.0, 1, values={"operations": 4e11})
        return Measurement(2.0, 3.0, 2**30, values=SECONDS[request["task"]][side])

    def _run(self, side: str, command: Sequence[Any], **settings: Any) -> Measurement:
        self.commands(side, [str(part) for part in command[1:]])
        return Measurement(10.0 if side == "ours" else 40.0, 3.0, 1)


@pytest.fixture
def bench(tmp_path: Path) -> Told:
    return Told(Path("peer/bin/python"), tmp_path, tmp_path, False, None, 1 << 40, 2)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rows_training, "ensure_prepared", lambda bench: None)


def test_augmentation_is_repeated_with_other_draws(bench: Told) -> None:
    (row,) = _rows_training.augment(bench)
    assert (row.ours.median, row.peer.median, row.ratio) == (0.1, 0.5, pytest.approx(5))
    assert row.bar == 3
    assert row.facts["cut from"] == "9x9x9"
    seeds = [request["seed"] for side, request in bench.asked if side == "ours"]
    assert len(set(seeds)) == len(seeds) == 3


@pytest.mark.usefixtures("prepared")
def test_a_step_is_measured_whole_in_parts_and_against_the_bare_network(bench: Told) -> None:
    rows = {row.name: row for row in _rows_training.step(bench)}
    whole = rows["step: bfloat16, peer with its default loaders"]
    assert (whole.ours.median, whole.peer.median, whole.bar) == (1.1, 3.15, 1.9)
    assert whole.facts["batch"] == "7 against 8"
    assert whole.facts["parameters"] == 100
    parts = [row for name, row in rows.items() if name.startswith("step in parts: float32")]
    assert [row.name.rpartition(", ")[2] for row in parts] == ["load", "augment", "forward and backward", "update"]
    assert [row.ratio for row in parts] == pytest.approx([2, 5, 2, 2])
    alone = rows["step: float32, against the bare network"]
    assert alone.ratio == pytest.approx(1 / 1.025)
    assert alone.bar == pytest.approx(1 / 1.05)
    settings = [request["setting"] for side, request in bench.asked if side == "peer" and request["task"] == "split"]
    assert set(settings) == {"0"}, "its parts can only be told apart without loading processes"


@pytest.mark.usefixtures("prepared")
def test_memory_is_counted_by_shares(bench: Told) -> None:
    rows = _rows_training.memory(bench)
    assert [row.ours.median for row in rows] == [1024, 1024]
    assert all(request["by_shares"] for _, request in bench.asked)


def mask(size: int) -> np.ndarray:
    values = np.zeros((10, 10, 10), np.uint8)
    values.reshape(-1)[:size] = 1
    return values


def write(folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_label(folder / "a.nii.gz", mask(size), Geometry((10, 10, 10), (1.0, 1.0, 1.0)))


def test_predictions_are_timed_and_their_masks_compared(bench: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    write(bench.work / "references", 500)
    sizes = {"ours": 498, "peer": 500, "float32": 500}

    def commands(side: str, command: Sequence[str]) -> None:
        write(Path(command[command.index("-o") + 1] if "-o" in command else command[0]), sizes[side])

    told = Told(bench.peer, bench.data, bench.work, False, None, 1 << 40, 2, commands=commands)
    monkeypatch.setattr(_rows_prediction, "equal_models", lambda *_: (Path("ours"), Path("peer")))
    monkeypatch.setattr(_rows_prediction, "linked_cases", lambda *_: (Path("images"), bench.work / "references"))
    rows = {row.name: row for row in _rows_prediction.predict_hippocampus(told)}
    fast = rows["predict: 60 hippocampus cases, bfloat16, wall"]
    assert (fast.ratio, fast.bar) == (4, 3.0)
    against, reference, change = fast.checks
    dice = 2 * 498 / 998
    assert against.value == pytest.approx(dice)
    assert against.kept
    assert reference.value == pytest.approx(dice)
    assert change.value == pytest.approx(1 - dice)
    assert not change.kept, "half a percent of Dice was lost"
    exact = rows["predict: 60 hippocampus cases, float32, wall"]
    assert [check.value for check in exact.checks] == [1.0, 1.0, 0.0]
    assert exact.bar is None
    assert (fast.limit.value, exact.limit.value) == (2, 4), "what the convolutions take at the machine's best"


def test_equal_models_are_trained_exported_and_imported_once(bench: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    verbs: list[str] = []

    def commands(side: str, command: Sequence[str]) -> None:
        verbs.append(command[0])
        dataset = _rows_prediction.CT_TASK.lesson.source.dataset
        if command[0] == "export":
            (bench.work / "exported" / dataset / f"{_models.TRAINER}__3d_fullres").mkdir(parents=True)
        if command[0] == "import":
            (bench.workspace / "models" / dataset / _models.TRAINER).mkdir(parents=True)

    told = Told(bench.peer, bench.data, bench.work, False, None, 1 << 40, 2, commands=commands)
    monkeypatch.setattr(_models, "ensure_raw", lambda *_: None)
    first = _models.equal_models(told, _rows_prediction.CT_TASK.lesson)
    assert verbs == ["plan_and_train", "export", "import"]
    assert _models.equal_models(told, _rows_prediction.CT_TASK.lesson) == first
    assert len(verbs) == 3


def test_only_the_first_cases_are_linked(bench: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for kind, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        (raw / kind).mkdir(parents=True)
        for case in ("case", "case_1", "case_2"):
            (raw / kind / f"{case}{ending}").touch()
    monkeypatch.setattr(_models, "ensure_raw", lambda *_: raw)
    images, labels = _models.linked_cases(bench, _rows_prediction.HIPPOCAMPUS_TASK.lesson.source, 2)
    assert sorted(path.name for path in images.iterdir()) == ["case_0000.nii.gz", "case_1_0000.nii.gz"]
    assert sorted(path.name for path in labels.iterdir()) == ["case.nii.gz", "case_1.nii.gz"]


def model(width: int) -> Model:
    configuration = small_configuration(
        "3d_fullres",
        (8, 8, 8),
        features=(width, 2 * width),
        median=(8, 8, 8),
        preprocessing={"orientation": "canonical", "transpose": (0, 1, 2), "spacing_mm": (1.0, 1.0, 1.0)},
    )
    return Model(
        dataset="Dataset900_Tiny",
        method="test",
        channels=("MR",),
        labels={"background": 0, "first": 1},
        regions_class_order=None,
        file_ending=".nii.gz",
        mirror_axes=(),
        predict=PredictChoices(),
        members={"3d_fullres": Member(configuration=configuration, weights={}, sha256={})},
        selected=("3d_fullres",),
        selection_reason="told so",
        training_cases=2,
    )


def test_operations_of_a_pass_grow_with_the_square_of_the_width() -> None:
    ratio = operations_per_pass(model(32)) / operations_per_pass(model(16))
    assert 3.5 < ratio < 4, "all but the first and the last convolution are twice as wide on both sides"
