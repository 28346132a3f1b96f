"""Estimates of preprocessing against the peaks of a process, and how many cases fit at a time."""

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

from autoseg.core import workers
from autoseg.core.errors import BudgetError
from autoseg.core.geometry import Geometry
from autoseg.io.images import write_image, write_label
from autoseg.io.raw import RawCase
from autoseg.preprocessing import fit
from autoseg.preprocessing.memory import Grids
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.plan import FixedCrop, Preprocessing

STATISTICS = IntensityStatistics(
    mean=0.0, median=0.0, std=1.0, minimum=-1.0, maximum=1.0, percentile_00_5=-1.0, percentile_99_5=1.0
)
CASES: list[dict[str, Any]] = [
    {"name": "tiny", "shape": (12, 14, 16), "spacing": (1, 1, 1)},
    {"name": "long", "shape": (120, 224, 224), "spacing": (1, 1, 1)},
    {"name": "channels", "shape": (48, 128, 128), "spacing": (2, 1, 1), "channels": 6, "type": "float32"},
    {"name": "body", "shape": (64, 160, 160), "spacing": (1, 1.5, 1.5), "channels": 2, "air": True, "labels": 20},
]


def section(**changes: Any) -> Preprocessing:
    usual: dict[str, Any] = {
        "orientation": "as_stored",
        "transpose": (0, 1, 2),
        "spacing_mm": (1.0, 1.0, 1.0),
        "normalization": (Component(name="zscore"),),
        "mask_normalization": (False,),
        "intensities": (STATISTICS,),
    }
    return Preprocessing(**(usual | changes))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Estimate and peak of each case, all by one process."""
    driver = Path(__file__).with_name("memory_driver.py")
    command = [sys.executable, str(driver), str(tmp_path_factory.mktemp("memory")), json.dumps(CASES)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return {one["name"]: one for one in map(json.loads, said.splitlines())}


@pytest.mark.parametrize("name", [case["name"] for case in CASES])
def test_the_estimate_is_close_to_the_peak(measured: dict[str, dict[str, Any]], name: str) -> None:
    one = measured[name]
    assert one["left out"] == {}
    assert 0.9 * one["peak"] <= one["needed"] <= 1.6 * one["peak"] + 150_000_000


@pytest.fixture
def cases(tmp_path: Path) -> list[RawCase]:
    """Four equal cases of 4 million voxels, and a smaller one; compressed they are nothing."""
    found = []
    for name, depth in (("a", 100), ("b", 100), ("c", 100), ("d", 100), ("e", 10)):
        geometry = Geometry((depth, 200, 200), (1.0, 1.0, 1.0))
        image, label = tmp_path / f"{name}_0000.nii.gz", tmp_path / f"{name}.nii.gz"
        write_image(image, np.zeros((1, *geometry.shape), np.uint8), geometry)
        write_label(label, np.zeros(geometry.shape, np.uint8), geometry)
        found.append(RawCase(name, (image,), label))
    return found


def needs(
    caplog: pytest.LogCaptureFixture, cases: list[RawCase], *, workers: int, limit: int | None
) -> tuple[int, str]:
    caplog.clear()
    with caplog.at_level(logging.INFO, "autoseg"):
        count = fit.fitting_workers(cases, [section()], cropped={}, workers=workers, limit=limit)
    return count, caplog.messages[-1]


def test_fewer_workers_where_memory_is_short(
    cases: list[RawCase], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "base_bytes", lambda: 100_000_000)
    count, said = needs(caplog, cases, workers=4, limit=10**10)
    assert count == 4
    assert said.endswith("at most, limit 10 GB, 4 workers")
    one = fit.case_bytes(fit.case_size(cases[0].images, cases[0].label), [section()])
    assert needs(caplog, cases, workers=4, limit=100_000_000 + 2 * (one + 100_000_000))[0] == 2
    count, said = needs(caplog, cases, workers=4, limit=100_000_000 + one)
    assert (count, said.rpartition(", ")[2]) == (1, "1 worker")
    with pytest.raises(
        BudgetError, match=r"a needs about .* of memory, the limit is .*: give --memory-limit .*B or more"
    ):
        needs(caplog, cases, workers=4, limit=100_000_000 + one - 1)
    assert needs(caplog, cases[4:], workers=4, limit=100_000_000 + one)[0] == 1


def test_without_a_limit_nothing_is_refused(
    cases: list[RawCase], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoseg.devices.limit.available_memory_bytes", lambda: 0)
    count, said = needs(caplog, cases, workers=4, limit=None)
    assert count == 1
    assert "are free, 1 worker" in said
    assert caplog.records[-1].levelno == logging.WARNING


def test_a_cluster_has_memory_of_its_own(cases: list[RawCase]) -> None:
    workers.use_scheduler("tcp://nowhere:1")
    try:
        assert fit.fitting_workers(cases, [section()], cropped={}, workers=64, limit=1) == 64
    finally:
        workers.use_scheduler(None)


def test_files_that_cannot_be_read_are_the_readers_matter(tmp_path: Path) -> None:
    path = tmp_path / "a_0000.nii.gz"
    path.write_bytes(b"nonsense")
    assert fit.fitting_workers([RawCase("a", (path,))], [section()], cropped={}, workers=3, limit=1) == 3


def test_a_crop_counts_where_it_is_known() -> None:
    geometry = Geometry((40, 60, 80), (2.0, 1.0, 1.0))
    assert Grids.of(geometry, section()).planned == (80, 60, 80)
    assert Grids.of(geometry, section(), (10, 20, 30)).planned == (20, 20, 30)
    assert Grids.of(geometry, section(crop_to_nonzero=False), (10, 20, 30)).planned == (80, 60, 80)
    box = FixedCrop(size_voxels=(20, 30, 40), centre_mm=(0.0, 0.0, 0.0))
    assert Grids.of(geometry, section(fixed_crop=box), (10, 20, 30)).planned == (20, 30, 40)
    assert Grids.of(geometry, section(transpose=(2, 0, 1))).cropped == (80, 40, 60)


def test_without_a_fingerprint_no_crop_is_known(tmp_path: Path) -> None:
    assert fit.known_crops(tmp_path / "fingerprint.json") == {}
