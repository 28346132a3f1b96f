"""Nested regions of four-sequence brain scans, from the converter to the scores of their challenge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import run_command
from autoseg.io.images import read_label
from autoseg.metrics.dice import region_dice
from autoseg.specs.dataset import Dataset
from autoseg.specs.model import Model
from autoseg.specs.postprocess import Postprocess
from autoseg.specs.report import Report

NAME = "Dataset008_PhantomBrain"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("brain")
    made = ("--option", "variant=brain", "--option", "size=16x32x32", "--option", "cases=4", "--option", "test_cases=1")
    assert run_command(["convert", "phantom", "--id", "8", *made, "--workspace", str(root), "--workers", "1"]) == 0
    short = ("-c", "3d_fullres", "-f", "0", "--epochs", "1", "--iterations-per-epoch", "2", "--device", "cpu")
    assert run_command(["plan_and_train", "8", *short, "--workspace", str(root), "--workers", "1"]) == 0
    return root


def test_heads_are_regions_and_labels_follow_their_order(workspace: Path, tmp_path: Path, command) -> None:
    raw, out = workspace / "raw" / NAME, tmp_path / "out"
    spec = Dataset.load(raw / "dataset.json")
    space = spec.label_space()
    assert (space.names, space.class_order, space.heads) == (("whole", "core", "enhancing"), (1, 2, 3), 3)
    model = Model.load(workspace / "models" / NAME / "autoseg" / "model.json")
    assert (model.regions_class_order, len(model.channels)) == ((1, 2, 3), 4)
    done = command("predict", "-i", raw / "imagesTs", "-o", out, "--device", "cpu", workspace=workspace)
    assert done.code == 0, done.said
    (mask,) = out.glob("brain_*.nii.gz")
    labels, _ = read_label(mask)
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    reference, _ = read_label(raw / "labelsTs" / mask.name)
    # A few updates find no tumour, but the way there and back is whole: the reference scores 1 in every region.
    assert set(region_dice(labels, reference, space)) == set(space.names)
    perfect = region_dice(reference, reference, space)
    assert all(value in (1.0, None) for value in perfect.values())


def test_held_out_cases_are_scored_and_judged_by_the_challenge(workspace: Path, tmp_path: Path, command) -> None:
    raw = workspace / "raw" / NAME
    found = Postprocess.load(workspace / "models" / NAME / "autoseg" / "postprocess.json")
    assert found.protocol == "brats2020"
    assert found.cases == 1
    assert "small enhancing tumour" in " ".join(trial.reason for trial in found.trials)
    report = tmp_path / "report.json"
    references = raw / "labelsTs"
    arguments = ("-i", references, "-r", references, "-o", report, "-d", "8", "--protocol", "brats2020")
    done = command("evaluate", *arguments, workspace=workspace)
    assert done.code == 0, done.said
    scores = Report.load(report).cases[0].regions
    assert {name: region["dice"].value for name, region in scores.items()} == {"WT": 1.0, "TC": 1.0, "ET": 1.0}
