"""The commands ensemble, postprocess and submit: flags reach the stages, exit codes tell what happened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import run_command
from autoseg.core.geometry import Geometry
from autoseg.io.images import read_label, write_label
from autoseg.stages import submit

GRID = Geometry((4, 5, 6), (1.0, 1.0, 1.0))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[0, 0, :4] = 1
    labels[3, 4, 5] = 2
    write_label(tmp_path / "masks" / "a.nii.gz", labels, GRID)
    return tmp_path / "masks"


def test_masks_are_cleaned_by_named_steps(masks: Path, tmp_path: Path) -> None:
    line = ["postprocess", "-i", str(masks), "-o", str(tmp_path / "clean"), "--workspace", str(tmp_path)]
    assert run_command([*line, "--step", "drop_small volume_mm3=2 labels=[2]", "--workers", "1"]) == 0
    assert np.unique(read_label(tmp_path / "clean" / "a.nii.gz")[0]).tolist() == [0, 1]
    (masks / "b.nii.gz").write_bytes(b"no image")
    assert run_command([*line, "--step", "keep_largest grouping=each", "--workers", "1"]) == 3
    (masks / "a.nii.gz").unlink()
    assert run_command([*line, "--step", "keep_largest", "--workers", "1"]) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["postprocess"], "nothing to do is named: give -d DATASET, or -i MASKS -o CLEAN"),
        (["postprocess", "-i", "masks"], "only one of --input and --output is named"),
        (["postprocess", "-i", "m", "-o", "c", "--step", "drop_small 5"], "'5' is no option: write key=value"),
        (["postprocess", "-i", "m", "-o", "c"], "nothing says how to clean"),
        (["ensemble", "4"], "no data set '4'"),
        (["submit", "4", "-i", "masks"], "no data set '4'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    line: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*line, "--workspace", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_flags_of_submit_reach_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[submit.Options] = []
    monkeypatch.setattr(submit, "run", lambda options, workspace: seen.append(options))
    (tmp_path / "raw" / "Dataset004_Hippocampus").mkdir(parents=True)
    (tmp_path / "raw" / "Dataset004_Hippocampus" / "dataset.json").write_text("{}")
    line = [
        "submit",
        "4",
        "-i",
        "m",
        "-o",
        "x.zip",
        "--option",
        "task=Task04_Hippocampus",
        "--join",
        "y.zip",
        "--check",
    ]
    assert run_command([*line, "--workspace", str(tmp_path)]) == 0
    assert seen == [
        submit.Options(
            Path("m"),
            "Dataset004_Hippocampus",
            output=Path("x.zip"),
            settings=(("task", "Task04_Hippocampus"),),
            join=(Path("y.zip"),),
            check=True,
        )
    ]
