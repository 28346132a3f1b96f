"""A cascade from raw data to a model folder by one command, and what of it is done again when."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import run_command
from autoseg.inference.predictor import Predictor
from autoseg.io.images import read_label
from autoseg.io.label_store import StoredLabels
from autoseg.specs.model import Model
from autoseg.specs.plan import Plan
from autoseg.specs.run import Run
from autoseg.training.agreement import FINAL

NAME = "Dataset001_Tiny"
CASCADE = "3d_cascade_fullres"
COARSE = ("--set", "plan.overrides={3d_lowres={spacing_mm=[3.0,2.0,2.0]}}")
SHORT = (*COARSE, "--epochs", "1", "--iterations-per-epoch", "2", "--device", "cpu", "--threads", "1")
FOLDS = [
    {"train": ["case_0", "case_1"], "val": ["case_2", "case_3"]},
    {"train": ["case_2", "case_3"], "val": ["case_0", "case_1"]},
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, raw_dataset):
    """Only the cascade is asked for, in one fold."""
    root = tmp_path_factory.mktemp("cascade")
    raw = raw_dataset(root / "raw" / NAME, cases=4, test_cases=1, endings=(".nii.gz",))
    (raw / "splits_final.json").write_text(json.dumps(FOLDS))
    arguments = ["plan_and_train", "-d", "1", "-c", CASCADE, "-f", "0", *SHORT]
    assert run_command([*arguments, "--workspace", str(root), "--workers", "1"]) == 0
    return root


def runs(root: Path) -> Path:
    return root / "runs" / NAME / "autoseg"


def test_the_previous_stage_is_trained_in_every_fold(workspace):
    assert sorted(path.name for path in runs(workspace).iterdir()) == [CASCADE, "3d_lowres"]
    assert {path.name for path in (runs(workspace) / "3d_lowres").glob("fold_*")} == {"fold_0", "fold_1"}
    assert {path.name for path in (runs(workspace) / CASCADE).glob("fold_*")} == {"fold_0"}
