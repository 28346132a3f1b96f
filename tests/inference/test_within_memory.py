"""The estimate against the peak of a process, and what happens when memory is short."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.core.errors import BudgetError
from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.io.images import write_image
from autoseg.stages import predict

MEGABYTE = 10**6
CASES: list[dict[str, Any]] = [
    {"name": "tiny", "shape": (12, 16, 14), "patch": (16, 16, 16)},
    {"name": "long", "shape": (150, 224, 224), "patch": (32, 64, 64), "spacing": (2, 2, 2), "cases": 2, "saved": 40},
    {"name": "classes", "shape": (56, 96, 96), "patch": (28, 48, 48), "heads": 80, "saved": 50},
    {"name": "channels", "shape": (48, 96, 96), "patch": (24, 48, 48), "channels": 8, "type": "float32"},
]
"""`saved`: megabytes that are lacking when the case is segmented once more."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Estimate and peak of each case, and of some of them with little memory, all by one process."""
    root = tmp_path_factory.mktemp("memory")
    driver = Path(__file__).with_name("memory_driver.py")
    command = [sys.executable, str(driver), str(root), json.dumps(CASES)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return {one["name"]: one | {"root": root} for one in map(json.loads, said.splitlines())}


@pytest.mark.parametrize("name", [*(case["name"] for case in CASES), "long short", "classes short"])
def test_the_estimate_is_close_to_the_peak(measured: dict[str, dict[str, Any]], name: str) -> None:
    one = measured[name]
    assert one["failed"] == {}
    assert 0.9 * one["peak"] <= one["needed"] <= 1.6 * one["peak"] + 150 * MEGABYTE


@pytest.mark.parametrize(("name", "way"), [("long", "one case at a time"), ("classes", "logits on disk")])
def test_a_limit_is_kept_and_changes_no_byte(measured: dict[str, dict[str, Any]], name: str, way: str) -> None:
    short = measured[f"{name} short"]
    assert way in short["line"]
    assert way not in measured[name]["line"]
    assert short["peak"] <= short["limit"] < measured[name]["needed"]
    folder = short["root"] / name
    masks = sorted(path.name for path in (folder / "masks").glob("*.nii"))
    assert masks
    for mask in masks:
        assert (folder / "masks short" / mask).read_bytes() == (folder / "masks" / mask).read_bytes()


@pytest.fixture
def workspace(tmp_path: Path, make_model: Any) -> Workspace:
    """With one model."""
    space = Workspace(tmp_path / "workspace")
    make_model(space.model("Dataset900_Tiny", "test"), "2d", "3d_fullres")
    return space


def test_what_does_not_fit_is_refused_before_anything_is_read(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoseg.inference.case_work.read_case", lambda *_, **__: pytest.fail("it was read"))
    for name, edge in (("small", 8), ("large", 40)):
        path = tmp_path / "images" / f"{name}_0000.nii"
        write_image(path, np.zeros((1, edge, edge, edge), np.int16), Geometry((edge, edge, edge), (1.0, 1.0, 1.0)))
    options = predict.Options(tmp_path / "images", tmp_path / "masks", memory_limit=20 * MEGABYTE)
    with pytest.raises(BudgetError, match=r"large needs about .*B of memory, the limit is 20 MB: give --memory-limit"):
        predict.run(options, workspace)
    assert not list((tmp_path / "masks").glob("*.nii"))


def test_little_free_memory_warns_and_goes_on(
    workspace: Workspace,
    images: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autoseg.devices.limit.available_memory_bytes", lambda: 0)
    with caplog.at_level(logging.INFO, "autoseg"):
        written = predict.run(predict.Options(images, tmp_path / "lean"), workspace).written
    assert written == ("a", "b", "c")
    (line,) = [record for record in caplog.records if record.getMessage().startswith("memory: about")]
    assert line.levelno == logging.WARNING
    assert "are free, one case at a time, logits on disk" in line.getMessage()
    monkeypatch.undo()
    predict.run(predict.Options(images, tmp_path / "usual"), workspace)
    for mask in ("a.nii.gz", "b.nrrd", "c.nii"):
        assert (tmp_path / "lean" / mask).read_bytes() == (tmp_path / "usual" / mask).read_bytes()


def test_headers_that_cannot_be_read_are_the_readers_matter(workspace: Workspace, images: Path, tmp_path: Path) -> None:
    (images / "b_0000.nrrd").write_bytes(b"NRRD nonsense")
    outcome = predict.run(predict.Options(images, tmp_path / "masks", memory_limit=10**13), workspace)
    assert (outcome.written, list(outcome.failed)) == (("a", "c"), ["b"])
    for path in ("a_0000.nii.gz", "c_0000.nii"):
        (images / path).write_bytes(b"nonsense")
    outcome = predict.run(predict.Options(images, tmp_path / "none", memory_limit=1), workspace)
    assert len(outcome.failed) == 3
