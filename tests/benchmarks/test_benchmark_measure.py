"""A measured process: its result, its failure, its memory limit, and that nothing of it is left."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil

from benchmarks._measure import measure

ENVIRONMENT = dict(os.environ)


def test_result_cpu_time_and_memory_include_children(tmp_path: Path) -> None:
    work = "b = bytearray(80 << 20)\nimport time\nwhile time.process_time() < 0.4: pass\n"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}]); print('{{\"answer\": 42}}')"
    found = measure([sys.executable, "-c", code], log=tmp_path / "a.log", environment=ENVIRONMENT)
    assert found.failure is None
    assert found.values == {"answer": 42}
    assert found.cpu_seconds >= 0.4
    assert found.peak_bytes >= found.largest_bytes >= 80 << 20


def test_failure_tells_the_exit_code_and_the_end_of_the_errors(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    found = measure(command, log=tmp_path / "a.log", environment=ENVIRONMENT)
    assert found.failure == "exit code 1: no such model"


def test_a_process_over_the_memory_limit_is_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "b = bytearray(200 << 20)\nimport time; time.sleep(60)"]
    found = measure(command, log=tmp_path / "a.log", environment=ENVIRONMENT, limit_bytes=100 << 20)
    assert found.failure is not None
    assert found.failure.startswith("stopped at the memory limit (0.")
    assert found.seconds < 30


def test_children_left_behind_are_ended(tmp_path: Path) -> None:
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    code += "print('{\"pid\": %d}' % p.pid)"
    found = measure([sys.executable, "-c", code], log=tmp_path / "a.log", environment=ENVIRONMENT)
    pid = found.values["pid"]
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline, "still alive"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
