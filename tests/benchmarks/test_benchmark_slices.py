"""Blocks of one scan as cases: every slice in one of them, held-out ones by share of the liver, positions kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.core.geometry import Geometry
from autoseg.io.images import read_image, read_label, write_image, write_label
from autoseg.specs.report import CaseScores, Report, Score
from benchmarks import _commands, ircadb_slices

SLICES, FIRST, LIVER = 30, 5, 20
GRID = Geometry((SLICES, 4, 5), (1.6, 0.7, 0.7), (10.0, -20.0, 30.0))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A scan of 30 slices, each of its own value, with a liver in slices 5 to 24."""
    folder = tmp_path / "source"
    values = np.broadcast_to(np.arange(SLICES, dtype=np.float32)[:, None, None], GRID.shape)
    labels = np.zeros(GRID.shape, np.uint8)
    labels[FIRST : FIRST + LIVER, 1:3, 1:4] = 1
    labels[20, 1, 1] = 2
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    write_image(folder / "imagesTr" / "p_0000.nii.gz", values, GRID)
    write_label(folder / "labelsTr" / "p.nii.gz", labels, GRID)
    spec = {"labels": {"background": 0, "liver": 1, "tumour": 2}, "numTraining": 1, "provenance": {"p": {}}}
    (folder / "dataset.json").write_text(json.dumps(spec))
    return folder


@pytest.mark.parametrize(
    ("shares", "held_out", "blocks"),
    [
        ((0.4, 0.6), [13, 17], {"below": (0, 13), "held_out": (13, 17), "above": (17, 30)}),
        ((0.75, 0.85), [20, 22], {"below": (0, 20), "held_out": (20, 22), "above": (22, 30)}),
        ((0.0, 0.2), [5, 9], {"held_out": (0, 9), "above": (9, 30)}),
    ],
)
def test_every_slice_is_in_one_block(
    source: Path,
    tmp_path: Path,
    shares: tuple[float, float],
    held_out: list[int],
    blocks: dict[str, tuple[int, int]],
) -> None:
    target = tmp_path / "target"
    assert ircadb_slices.cut(source, target, shares) == held_out
    whole, _ = read_label(source / "labelsTr" / "p.nii.gz")
    seen: list[int] = []
    for name, (low, high) in blocks.items():
        image = read_image(target / "imagesTr" / f"{name}_0000.nii.gz")
        labels, geometry = read_label(target / "labelsTr" / f"{name}.nii.gz")
        slices = image.array[0, :, 0, 0].astype(int).tolist()
        assert slices == list(range(low, high))
        assert np.array_equal(labels, whole[low:high])
        seen += slices
        # The block lies where it was cut from: the same place in the patient has the same coordinates.
        step = np.asarray(GRID.direction)[:, 0] * GRID.spacing_mm[0]
        assert geometry.origin_mm == pytest.approx(tuple(np.asarray(GRID.origin_mm) + low * step), abs=1e-4)
        assert geometry.spacing_mm == pytest.approx(GRID.spacing_mm)
    assert sorted(seen) == list(range(SLICES))
    assert len(list((target / "labelsTr").iterdir())) == len(blocks)


def test_the_held_out_block_is_the_one_that_is_scored(source: Path, tmp_path: Path) -> None:
    ircadb_slices.cut(source, tmp_path / "target", (0.4, 0.6))
    (split,) = json.loads((tmp_path / "target" / "splits_final.json").read_text())
    assert split == {"train": ["below", "above"], "val": ["held_out"]}
    spec = json.loads((tmp_path / "target" / "dataset.json").read_text())
    assert spec["numTraining"] == 3
    assert "provenance" not in spec, "its one patient would keep all blocks on one side"


def test_scores_are_those_of_the_one_case(tmp_path: Path) -> None:
    folder = tmp_path / "fold_0" / "validation"
    scores = {
        "liver": {"dice": Score(value=0.9), "recall": Score(value=0.8), "precision": Score(value=None, reason="x")}
    }
    case = CaseScores(id="held_out", regions=scores)
    report = Report(protocol="test", definitions={}, cases=(case,), summary={})
    folder.mkdir(parents=True)
    report.save(folder / "report.json")
    assert ircadb_slices._scores(tmp_path, "liver") == {"dice": 0.9, "recall": 0.8, "precision": None}
    assert ircadb_slices._scores(tmp_path, "tumour") == {"dice": None, "recall": None, "precision": None}
    report.model_copy(update={"cases": (case, case)}).save(folder / "report.json")
    with pytest.raises(ValueError, match="too many values"):
        ircadb_slices._scores(tmp_path, "liver")


def test_the_table_says_what_is_undefined() -> None:
    known, unknown = {"dice": 0.91234, "recall": 0.5}, {"dice": None, "recall": None}
    scores = {
        "middle": {"held-out slices": [13, 17], "liver": known, "tumour": unknown},
        "lowest": {"held-out slices": [5, 9], "liver": unknown, "tumour": known},
    }
    lines = ircadb_slices.table(scores).splitlines()
    assert lines[0] == "| held out | liver | tumour |"
    assert lines[2] == "| middle: slices 13 to 16 | 0.912 (recall 0.500) | undefined (recall undefined) |"
    assert lines[3].startswith("| lowest: slices 5 to 8 | undefined")


def test_the_time_and_the_settings_reach_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(_commands, "run_command", lambda line: called.append(line) or 0)
    monkeypatch.setattr(
        "sys.argv", ["x", "--data", "d", "--work", "w", "--minutes", "0.5", "--width", "8", "--set", "train.seed=1"]
    )
    ircadb_slices._train(tmp_path, 2, ircadb_slices._parse())
    (line,) = called
    assert line[:6] == ["plan_and_train", "2", "--method", "resunet_cascade", "-f", "0"]
    assert line[line.index("--time-budget") + 1] == "30s"
    assert [line[place + 1] for place, word in enumerate(line) if word == "--set"] == [
        "plan.base_features=8",
        "train.seed=1",
    ]
    monkeypatch.setattr(_commands, "run_command", lambda line: 2)
    with pytest.raises(SystemExit, match="plan_and_train 2 --method resunet_cascade ended with 2"):
        ircadb_slices._train(tmp_path, 2, ircadb_slices._parse())
