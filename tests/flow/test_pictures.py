"""A data set of RGB pictures from folder to submission: trained, predicted, scored and packed like any other."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import run_command
from autoseg.core.geometry import Geometry
from autoseg.io.images import read_label, write_image, write_label
from autoseg.specs.plan import Plan
from autoseg.specs.report import Report

NAME = "Dataset120_Photos"
SIZE = (40, 48)
GRID = Geometry((1, *SIZE), (1.0, 1.0, 1.0))


def picture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A red disc on noise, (3, 1, Y, X) of 8 bits, and its mask."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    centre = generator.uniform(15, 25, 2)
    labels = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 81).astype(np.uint8)
    image = generator.integers(0, 120, (3, *SIZE))
    image[0][labels == 1] += 130
    return image.astype(np.uint8)[:, None], labels[None]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nnU-Net's layout: one file with three colours, `_0000` behind its name."""
    root = tmp_path_factory.mktemp("photos")
    folder = root / "raw" / NAME
    for number in range(7):
        image, labels = picture(number)
        side = "Tr" if number < 5 else "Ts"
        write_image(folder / f"images{side}" / f"photo-{number}_0000.png", image, GRID)
        write_label(folder / f"labels{side}" / f"photo-{number}.png", labels, GRID)
    spec = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "disc": 1},
        "numTraining": 5,
        "file_ending": ".png",
    }
    (folder / "dataset.json").write_text(json.dumps(spec))
    short = ("--epochs", "1", "--iterations-per-epoch", "30", "--device", "cpu", "-f", "0")
    assert run_command(["plan_and_train", "-d", "120", *short, "--workspace", str(root), "--workers", "1"]) == 0
    return root


def test_pictures_are_planned_in_2d_alone(workspace: Path) -> None:
    plan = Plan.load(workspace / "prepared" / NAME / "autoseg" / "plan.json")
    assert set(plan.configurations) == {"2d"}
    assert plan.channels == ("R", "G", "B")
    held_out = sorted((workspace / "runs" / NAME / "autoseg" / "2d" / "fold_0" / "validation").glob("photo-*.png"))
    assert held_out


def test_masks_are_pictures_and_find_the_disc(workspace: Path, tmp_path: Path, command) -> None:
    raw = workspace / "raw" / NAME
    out = tmp_path / "masks"
    assert command("predict", "-i", raw / "imagesTs", "-o", out, "--device", "cpu", workspace=workspace).code == 0
    assert sorted(path.name for path in out.glob("*.png")) == ["photo-5.png", "photo-6.png"]
    labels, geometry = read_label(out / "photo-5.png")
    assert (labels.dtype, geometry.shape) == (np.uint8, (1, *SIZE))
    report = tmp_path / "report.json"
    done = command("evaluate", "-i", out, "-r", raw / "labelsTs", "-o", report, "-d", "120", workspace=workspace)
    assert done.code == 0, done.said
    scores = [case.regions["disc"]["dice"].value or 0.0 for case in Report.load(report).cases]
    assert min(scores) > 0.5
    single = tmp_path / "one.png"
    one = command("predict", "-i", raw / "imagesTs" / "photo-5_0000.png", "-o", single, "--device", "cpu",
                  workspace=workspace)  # fmt: skip
    assert one.code == 0, one.said
    assert np.array_equal(read_label(single)[0], labels)


def test_masks_are_packed(workspace: Path, tmp_path: Path, command) -> None:
    archive = tmp_path / "answer.zip"
    references = workspace / "raw" / NAME / "labelsTs"
    done = command("submit", "120", "-i", references, "-o", archive, workspace=workspace)
    assert done.code == 0, done.said
    assert command("submit", "120", "-i", archive, "--check", workspace=workspace).code == 0
    with zipfile.ZipFile(archive) as packed:
        assert {"photo-5.png", "photo-6.png"} <= {Path(name).name for name in packed.namelist()}
