"""Cases on a Dask cluster: a killed worker costs nothing, an error costs its case."""

import sys

import numpy as np
import pytest

from autoseg.cli import run_command
from autoseg.core.errors import AutosegError
from autoseg.core.geometry import Geometry
from autoseg.core.workers import run_cases, use_scheduler
from autoseg.io.images import write_image, write_label

CASES = 40


def make_raw(folder):
    rng = np.random.default_rng(0)
    geometry = Geometry((8, 10, 10), (1.0, 1.0, 1.0))
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for index in range(CASES):
        labels = np.zeros(geometry.shape, np.uint8)
        labels[2:6, 3:8, 3:8] = 1
        image = (rng.normal(size=geometry.shape) + labels).astype(np.float32)
        write_image(folder / "imagesTr" / f"case_{index:02d}_0000.nii.gz", image[None], geometry)
        write_label(folder / "labelsTr" / f"case_{index:02d}.nii.gz", labels, geometry)
    (folder / "dataset.json").write_text(
        '{"channel_names": {"0": "MR"}, "labels": {"background": 0, "organ": 1}, "numTraining": 40, '
        '"file_ending": ".nii.gz"}'
    )


def test_a_killed_worker_costs_nothing(tmp_path, dask_cluster, capfd):
    root = tmp_path / "workspace"
    make_raw(root / "raw" / "Dataset001_Tiny")
    place = ("--workspace", str(root))
    assert run_command(["fingerprint", "1", "--workers", "1", *place]) == 0
    assert run_command(["plan", "1", "--device", "cpu", *place]) == 0
    dask_cluster.steady_worker()
    mortal = dask_cluster.worker(dies_in="autoseg.stages.preprocess:_prepare", at=6)
    preprocess = ["preprocess", "1", "-c", "3d_fullres", *place]
    assert run_command([*preprocess, "--scheduler", dask_cluster.address]) == 0
    said = capfd.readouterr().err
    assert f"{CASES} cases stored, 0 left out" in said
    assert "died; " in said
    assert dask_cluster.has_ended(mortal)
    assert run_command([*preprocess, "--workers", "1"]) == 0
    assert "0 cases stored, 0 left out" in capfd.readouterr().err


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("autoseg.core.cluster.CONNECT_S", 0.5)
    use_scheduler("tcp://127.0.0.1:1")
    try:
        with pytest.raises(AutosegError, match="no Dask scheduler answers at tcp"):
            list(run_cases(abs, [1], workers=1))
    finally:
        use_scheduler(None)


def test_without_dask_the_cure_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    use_scheduler("tcp://127.0.0.1:1")
    try:
        with pytest.raises(AutosegError, match="--scheduler needs Dask"):
            list(run_cases(abs, [1], workers=1))
    finally:
        use_scheduler(None)


def test_other_verbs_refuse_a_scheduler(tmp_path, capsys):
    code = run_command(["train", "1", "--scheduler", "tcp://127.0.0.1:1", "--workspace", str(tmp_path)])
    assert code == 2
    assert "train does not run on a Dask cluster" in capsys.readouterr().err


def test_a_cluster_is_that_of_one_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    make_raw(tmp_path / "raw" / "Dataset001_Tiny")
    code = run_command(["fingerprint", "1", "--scheduler", "tcp://127.0.0.1:1", "--workspace", str(tmp_path)])
    assert code == 2
    assert "--scheduler needs Dask" in capsys.readouterr().err
    assert [outcome.result for outcome in run_cases(abs, [-1], workers=1)] == [1]
