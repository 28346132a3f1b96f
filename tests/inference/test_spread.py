"""Cases segmented by the workers of a cluster: the masks of one machine, whoever dies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.cli import run_command
from autoseg.core.errors import AutosegError, StorageError, WorkerError
from autoseg.core.geometry import Geometry
from autoseg.core.workers import Outcome
from autoseg.core.workspace import Workspace
from autoseg.inference import case_work, spread
from autoseg.inference.case_log import CASE_LOG
from autoseg.inference.jobs import find_jobs
from autoseg.inference.region import Story
from autoseg.inference.settings import CaseSettings
from autoseg.io.images import write_image
from autoseg.specs.model import Model
from autoseg.stages import predict

Maker = Callable[..., Model]
SCANS = 8


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def model(tmp_path: Path, make_model: Maker) -> Path:
    folder = tmp_path / "model"
    make_model(folder, "2d", "3d_fullres")
    return folder


def settings(model: Path, **more: Any) -> CaseSettings:
    return CaseSettings(model, device="cpu", precision="float32", threads=1, **more)


def test_a_killed_worker_costs_no_mask(
    model: Path, tmp_path: Path, dask_cluster: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    scans, masks = tmp_path / "scans", tmp_path / "masks"
    for index in range(SCANS):
        array = np.random.default_rng(index).normal(size=(1, 9, 10, 8 + index)).astype(np.float32)
        write_image(scans / f"scan{index}_0000.nii.gz", array, Geometry(array.shape[1:], (1.0, 1.2, 0.9)))  # type: ignore[arg-type]
    dask_cluster.steady_worker()
    mortal = dask_cluster.worker(dies_in="autoseg.inference.case_work:write_label", at=2)
    common = ["-m", str(model), "--device", "cpu", "--workspace", str(tmp_path)]
    call = ["predict", "-i", str(scans), "-o", str(masks), *common, "--scheduler", dask_cluster.address]
    assert run_command(call) == 0
    said = capfd.readouterr().err
    assert dask_cluster.has_ended(mortal)
    assert "died; " in said
    assert f"({SCANS} of {SCANS})" in said
    predict.run(predict.Options(scans, tmp_path / "here", model=model, device="cpu"), Workspace(tmp_path))
    assert contents(masks) == contents(tmp_path / "here")
    (masks / "scan3.nii.gz").unlink()
    assert run_command(call) == 0
    assert f"{SCANS - 1} of {SCANS} masks are there already" in capfd.readouterr().err
    assert contents(masks) == contents(tmp_path / "here")


def test_a_worker_loads_a_model_once_and_again_when_it_changed(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []

    class Counted(case_work.CaseWork):
        def __init__(self, settings: CaseSettings) -> None:
            loads.append(settings.folder)
            super().__init__(settings)

    monkeypatch.setattr(case_work, "CaseWork", Counted)
    jobs = find_jobs(images, tmp_path / "masks", channels=("MR",))
    for _ in range(2):
        assert [each.error for each in spread.segment_on_cluster(jobs, settings(model))] == [None] * 3
    assert loads == [model]
    os.utime(model / "model.json", ns=(1, 1))
    list(spread.segment_on_cluster(jobs, settings(model)))
    assert loads == [model] * 2


def test_stories_are_logged_by_the_caller(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Story(1.5, ((0, 0, 0), (4, 4, 4)))
    monkeypatch.setattr(spread, "segment", lambda task: spread.Done(None, 1.0, told))
    jobs = find_jobs(images, tmp_path / "masks", channels=("MR",))
    list(spread.segment_on_cluster(jobs, settings(model)))
    lines = [json.loads(line) for line in (tmp_path / "masks" / CASE_LOG).read_text().splitlines()]
    assert [line["case"] for line in lines] == ["a", "b", "c"]
    assert lines[0]["organ_ml"] == 1.5


def test_what_is_wrong_with_one_case_leaves_the_others(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = find_jobs(images, tmp_path / "masks", channels=("MR",))
    (images / "b_0000.nrrd").write_bytes(b"NRRD nonsense")

    def lost(function: Callable[[Any], Any], items: Any, *, workers: int) -> Any:
        *others, last = items
        yield from (Outcome(item, function(item)) for item in others)
        yield Outcome(last, error=WorkerError("all workers that tried it were killed"))

    monkeypatch.setattr(spread, "run_cases", lost)
    found = {each.item.case.case_id: each.error for each in spread.segment_on_cluster(jobs, settings(model))}
    assert found["a"] is None
    assert "b_0000.nrrd cannot be read" in str(found["b"])
    assert "all workers that tried it were killed" in str(found["c"])


def test_what_stops_every_case_is_told(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = find_jobs(images, tmp_path / "masks", channels=("MR",))
    with pytest.raises(AutosegError, match=r"cannot load the model: .*no configuration.*: all machines must see"):
        list(spread.segment_on_cluster(jobs, settings(model, configurations=("3d_lowres",))))

    def full(*arguments: Any, **options: Any) -> None:
        raise StorageError("cannot write it (No space left on device)")

    monkeypatch.setattr(case_work, "write_label", full)
    with pytest.raises(StorageError, match="No space left"):
        list(spread.segment_on_cluster(jobs, settings(model)))
