"""The demo end to end in a tiny setting, its table, and the picture."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from autoseg.commands.demo import score_table
from autoseg.reporting.overview import Sample, draw_overview, telling_slice
from autoseg.specs.report import CaseScores, Report, Score, Summary

SMALL = ("--cases", "6", "--test-cases", "3", "--size", "16x24x24", "--time-budget", "4s", "--workers", "1")


def report(*dice):
    cases = tuple(
        CaseScores(id=f"case{index}", regions={"liver": {"dice": Score(value=value)}})
        for index, value in enumerate(dice)
    )
    known = [value for value in dice if value is not None]
    summary = Summary(mean=sum(known) / len(known), median=None, ci95=(0.25, 0.75), cases=len(known))
    return Report(protocol="autoseg", definitions={}, cases=cases, summary={"liver": {"dice": summary}})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder and result of one tiny demo, run as a user would."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("AUTOSEG_WORKSPACE", None)
    command = [sys.executable, "-m", "autoseg", "demo", *SMALL]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return folder / "autoseg_demo", result


def test_the_demo_runs_to_its_end(finished):
    _, result = finished
    assert result.returncode == 0, result.stderr
    for step in ("1/4 making", "2/4 learning", "3/4 segmenting", "4/4 comparing", "done in"):
        assert step in result.stderr
    assert re.search(r"^liver +0\.\d{3} ", result.stdout, re.MULTILINE)
    assert re.search(r"^tumour ", result.stdout, re.MULTILINE)
    assert "Traceback" not in result.stderr


def test_the_demo_leaves_what_it_names(finished):
    folder, _ = finished
    assert (folder / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert len(Report.load(folder / "report.json").cases) == 3
    assert (folder / "models" / "Dataset900_PhantomLiver" / "autoseg" / "model.json").is_file()
    assert len(list((folder / "predictions" / "Dataset900_PhantomLiver").glob("*.nii.gz"))) == 3


def test_the_table_tells_how_many_cases_have_the_region():
    text = score_table(report(0.5, 0.7, None))
    assert text.splitlines()[0].split()[:2] == ["unseen", "scans"]
    assert re.search(r"^liver +0\.600 +0\.250 to 0\.750 +- +2 of 3$", text, re.MULTILINE)
    assert "has no Dice for it" in text
    assert "has no Dice for it" not in score_table(report(0.5, 0.7))


def test_a_small_tumour_decides_the_slice():
    reference = np.zeros((5, 8, 8), np.uint8)
    reference[1:4] = 1
    reference[3, 2:4, 2:4] = 2
    assert telling_slice(reference, np.zeros_like(reference)) == 3
    assert telling_slice(np.zeros_like(reference), np.zeros_like(reference)) == 0


@pytest.mark.parametrize("window", [None, (-100.0, 200.0)])
def test_the_picture_can_be_drawn_of_anything(tmp_path, window):
    image = np.random.default_rng(0).normal(0, 50, (4, 12, 10))
    labels = np.zeros((4, 12, 10), np.uint8)
    labels[2, 4:8, 0:9] = 9
    empty = np.zeros_like(labels)
    samples = [
        Sample("a", ("liver: Dice 0.5",), image, labels, empty, (3.0, 1.0, 2.0), window),
        Sample("b", (), np.zeros_like(image), empty, empty, (1.0, 1.0, 1.0), window),
    ]
    draw_overview(samples, tmp_path / "o.png", labels={9: "liver"}, title="t")
    assert (tmp_path / "o.png").stat().st_size > 2000
