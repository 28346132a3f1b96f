"""Cases on a Dask cluster: a killed worker costs nothing, an error costs its case."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import run_command
from autoseg.core.errors import AutosegError
from autoseg.core.geometry import Geometry
from autoseg.core.workers import run_cases, use_scheduler
from autoseg.io.images import write_image, write_label

DRIVER = Path(__file__).with_name("cluster_driver.py")
CASES = 40
needs_dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="distributed is not installed")


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


def start(*arguments):
    return subprocess.Popen([sys.executable, DRIVER, *map(str, arguments)], stderr=subprocess.DEVNULL)


@pytest.fixture
def cluster(tmp_path):
    """Address of a scheduler and its two workers, the first of which dies at its sixth case."""
    file = tmp_path / "address"
    processes = [start("scheduler", file)]
    try:
        deadline = time.monotonic() + 120
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        address = file.read_text()
        processes += [start("worker", address, 6), start("worker", address, 0)]
        yield address, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def autoseg(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "autoseg", *arguments], capture_output=True, text=True, timeout=200, check=False
    )


@needs_dask
def test_a_killed_worker_costs_nothing(tmp_path, cluster):
    address, processes = cluster
    root = tmp_path / "workspace"
    make_raw(root / "raw" / "Dataset001_Tiny")
    place = ("--workspace", str(root))
    assert run_command(["fingerprint", "1", "--workers", "1", *place]) == 0
    assert run_command(["plan", "1", "--device", "cpu", *place]) == 0
    done = autoseg("preprocess", "1", "-c", "3d_fullres", "--scheduler", address, *place)
    assert done.returncode == 0, done.stderr
    assert f"{CASES} cases stored, 0 left out" in done.stderr
    assert "died; " in done.stderr
    assert processes[1].wait(timeout=10) < 0
    assert processes[2].poll() is None
    again = autoseg("preprocess", "1", "-c", "3d_fullres", "--workers", "1", *place)
    assert "0 cases stored, 0 left out" in again.stderr


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
