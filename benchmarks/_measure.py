"""Run one command in a process of its own: wall time, CPU time and peak memory, children included."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

SAMPLE_INTERVAL_S = 0.25
"""A sample walks /proc, about 5 ms: 2 % of one CPU."""
LINES_OF_FAILURE = 3


@dataclass(frozen=True)
class Measurement:
    """One run of one command.

    Attributes:
        seconds: From start to end.
        cpu_seconds: User and system time of the process and of all processes that it started.
        peak_bytes: Largest sum over those processes at one time; pages that several share count in each (RSS), or by
            shares (PSS) where that was asked for.
        largest_bytes: Peak of the largest of those processes, by the kernel.
        failure: Why there is no result, or None.
        values: What the command printed as JSON in its last line, if it did.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    largest_bytes: int = 0
    failure: str | None = None
    values: dict[str, Any] = field(default_factory=dict)

    def resources(self) -> dict[str, float]:
        """The figures, rounded, for the record."""
        return {
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_mib": round(self.peak_bytes / 2**20, 1),
            "largest_process_mib": round(self.largest_bytes / 2**20, 1),
        }


def measure(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str],
    limit_bytes: int | None = None,
    by_shares: bool = False,
) -> Measurement:
    """Run and wait.

    Args:
        command: Program and arguments.
        log: File for what it prints; errors go beside it.
        environment: All of its environment.
        limit_bytes: It is killed when it and its children hold more.
        by_shares: Count shared pages by shares (PSS): slower to sample, fair to many processes.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    errors = log.with_suffix(".err")
    with log.open("wb") as out, errors.open("wb") as err:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=err, env=dict(environment), start_new_session=True
        )
        sampler = _Sampler(process.pid, limit_bytes, by_shares)
        sampler.start()
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            seconds = time.perf_counter() - started
        finally:
            # Before it is reaped, its group's number cannot belong to anyone else: ends an interrupted run, and the
            # children that a finished one left behind, which would disturb the next measurement.
            _kill(process.pid)
            sampler.stop()
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Measurement(
        seconds=seconds,
        cpu_seconds=max(usage.ru_utime + usage.ru_stime, sampler.cpu_seconds),
        peak_bytes=sampler.peak_bytes if by_shares else max(sampler.peak_bytes, usage.ru_maxrss * 1024),
        largest_bytes=usage.ru_maxrss * 1024,
        failure=_failure(process.returncode, errors, sampler),
        values=last_json_line(log.read_text(errors="replace")),
    )


def last_json_line(text: str) -> dict[str, Any]:
    """The last line that is a JSON object; empty without one."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            with contextlib.suppress(json.JSONDecodeError):
                found: dict[str, Any] = json.loads(line)
                return found
    return {}


class _Sampler(threading.Thread):
    """Looks at a process and its descendants until told to stop."""

    def __init__(self, pid: int, limit_bytes: int | None, by_shares: bool) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.over_limit = False
        self._pid, self._limit_bytes, self._by_shares = pid, limit_bytes, by_shares
        self._cpu: dict[int, float] = {}
        self._done = threading.Event()

    @property
    def cpu_seconds(self) -> float:
        """Also of children that were killed before anyone waited for them, which the kernel's sum leaves out."""
        return sum(self._cpu.values())

    def run(self) -> None:
        while not self._done.wait(SAMPLE_INTERVAL_S):
            with contextlib.suppress(psutil.Error):
                root = psutil.Process(self._pid)
                held = sum(self._look(process) for process in (root, *root.children(recursive=True)))
                self.peak_bytes = max(self.peak_bytes, held)
                if self._limit_bytes is not None and held > self._limit_bytes:
                    self.over_limit = True
                    _kill(self._pid)

    def stop(self) -> None:
        self._done.set()
        self.join()

    def _look(self, process: psutil.Process) -> int:
        try:
            times = process.cpu_times()
            self._cpu[process.pid] = times.user + times.system
            return int(process.memory_full_info().pss if self._by_shares else process.memory_info().rss)
        except psutil.Error:
            return 0


def _kill(pid: int) -> None:
    """End the process group that `measure` started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _failure(code: int, errors: Path, sampler: _Sampler) -> str | None:
    if sampler.over_limit:
        return f"stopped at the memory limit ({sampler.peak_bytes / 2**30:.1f} GiB in use)"
    if code == 0:
        return None
    lines = errors.read_text(errors="replace").strip().splitlines()[-LINES_OF_FAILURE:]
    return f"exit code {code}: " + " | ".join(lines)
