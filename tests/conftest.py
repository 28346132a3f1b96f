"""Fixtures shared by all tests."""

from __future__ import annotations

import errno
import gc
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

CLUSTER_DRIVER = Path(__file__).with_name("cluster_driver.py")
# How long an example takes says something of the machine only. Else as hypothesis does: where `CI` is set, the same
# examples every time.
settings.register_profile("suite", settings(deadline=None))
settings.load_profile("suite")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Leave the content of files out of the names of tests: one that holds the time would differ between workers."""
    return "content" if isinstance(val, bytes) else None


def pytest_collection_finish() -> None:
    """Leave modules and collected tests out of garbage collection: each full one looked at all of them (0.2 s)."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real images; tests that need it skip with a reason where it is absent."""
    named = os.environ.get("AUTOSEG_TEST_DATA")
    if not named:
        pytest.skip("real images: set AUTOSEG_TEST_DATA to their folder")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"AUTOSEG_TEST_DATA={named} is not a folder")
    return folder


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`full_disk("image*", after=2)`: the third file that matches, and those after it, cannot be flushed."""

    def fill(pattern: str = "*", *, after: int = 0) -> None:
        left, flush = [after], os.fsync

        def fsync(handle: int) -> None:
            if Path(f"/proc/self/fd/{handle}").readlink().match(pattern):
                if left[0] == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                left[0] -= 1
            flush(handle)

        monkeypatch.setattr(os, "fsync", fsync)

    return fill


class Cluster:
    """A Dask cluster on this machine for all tests of a session; workers are added as tests need them.

    Args:
        folder: For the scheduler's address.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / "address"
        self._driver = subprocess.Popen(
            [sys.executable, CLUSTER_DRIVER, file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
        )
        deadline = time.monotonic() + 120
        while not file.exists() and self._driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        self.address = file.read_text()
        self._steady: int | None = None

    def worker(self, *, dies_in: str, at: int) -> int:
        """Process id of a new worker that kills itself at its `at`-th call of `module:function`."""
        return int(self._ask(f"start {dies_in.replace(':', ' ')} {at}"))

    def steady_worker(self) -> int:
        """Process id of a worker that lives on; all tests have the same."""
        if self._steady is None:
            self._steady = self.worker(dies_in="autoseg.stages.preprocess:_prepare", at=0)
        return self._steady

    def has_ended(self, worker: int) -> bool:
        """Whether the worker died, within some seconds."""
        deadline = time.monotonic() + 10
        while not (ended := self._ask(f"ended {worker}") == "True") and time.monotonic() < deadline:
            time.sleep(0.05)
        return ended

    def close(self) -> None:
        """End scheduler and workers."""
        with self._driver:
            pass

    def _ask(self, line: str) -> str:
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(line + "\n")
        self._driver.stdin.flush()
        return self._driver.stdout.readline().strip()


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Dask scheduler on this machine; tests without Dask are skipped."""
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("distributed is not installed")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()
