"""The place of a comparison: interpreters, folders, and how both programs are started there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks._measure import Measurement, measure
from benchmarks._results import Row, Side, load_per_core

HERE = Path(__file__).parent
DATASET = "Dataset004_Hippocampus"
QUICK_CASES = 20
VERSIONS = "import importlib.metadata as m,json,sys;print(json.dumps({n:m.version(n) for n in sys.argv[1:]}))"


@dataclass(frozen=True)
class Bench:
    """Settings of one call.

    Attributes:
        peer: Interpreter of the environment with nnunetv2.
        data: Folder with `Task04_Hippocampus` and `multiorgan_ct_3mm`.
        work: Scratch folder of this mode.
        quick: Few cases and steps, only to see that everything runs.
        model: A trained model folder to predict with, or None.
        limit_bytes: A process tree that holds more is stopped and reported.
        rounds: Repetitions of each side, alternating.
    """

    peer: Path
    data: Path
    work: Path
    quick: bool
    model: Path | None
    limit_bytes: int
    rounds: int

    @property
    def workspace(self) -> Path:
        """Ours; the peer reads the same raw data through links."""
        return self.work / "workspace"

    @property
    def peer_raw(self) -> Path:
        """The peer's raw data."""
        return self.work / "peer" / "raw"

    @property
    def preprocessed(self) -> Path:
        """The peer's."""
        return self.work / "peer" / "preprocessed"

    def repeated(self, rounds: int) -> Bench:
        """The same with a row's own number of repetitions; one in quick mode."""
        return replace(self, rounds=1 if self.quick else rounds)

    @property
    def cores(self) -> int:
        return os.cpu_count() or 1

    @cached_property
    def versions(self) -> dict[str, str]:
        """Of both environments, the peer's torch under `torch (peer)`."""
        ours = self._ask(Path(sys.executable), "autoseg", "torch")
        theirs = self._ask(self.peer, "nnunetv2", "torch")
        return ours | {"nnunetv2": theirs["nnunetv2"], "torch (peer)": theirs["torch"]}

    def autoseg(self, *arguments: str | Path) -> Measurement:
        """Run our command line."""
        return self._run("ours", [Path(sys.executable).parent / "autoseg", *arguments])

    def nnunet(self, verb: str, *arguments: str | Path) -> Measurement:
        """Run `nnUNetv2_<verb>`."""
        return self._run("peer", [self.peer.parent / f"nnUNetv2_{verb}", *arguments])

    def ours(self, task: str, *, by_shares: bool = False, **request: Any) -> Measurement:
        """Run a task of `_ours.py`."""
        return self._task("ours", Path(sys.executable), task, request, by_shares=by_shares)

    def peers(self, task: str, *, by_shares: bool = False, setting: str | None = None, **request: Any) -> Measurement:
        """Run a task of `_peer.py`; `setting` is nnUNet_n_proc_DA."""
        return self._task("peer", self.peer, task, request, by_shares=by_shares, setting=setting)

    def row(
        self,
        name: str,
        unit: str,
        *,
        ours: Side,
        peer: Side,
        command: str,
        load: float,
        facts: Mapping[str, Any] | None = None,
    ) -> Row:
        """A row with this call's versions."""
        return Row(name, unit, ours, peer, command, self.versions, load, dict(facts or {}))

    def fresh(self, *parts: str) -> Path:
        """An empty folder under the work folder."""
        folder = self.work.joinpath(*parts)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _task(
        self,
        side: str,
        python: Path,
        task: str,
        request: Mapping[str, Any],
        *,
        by_shares: bool,
        setting: str | None = None,
    ) -> Measurement:
        content = json.dumps({"task": task, **request}, default=str)
        extra = {} if setting is None else {"nnUNet_n_proc_DA": setting}
        return self._run(side, [python, HERE / f"_{side}.py", content], by_shares=by_shares, extra=extra)

    def _run(
        self, side: str, command: Sequence[str | Path], *, by_shares: bool = False, extra: dict[str, str] | None = None
    ) -> Measurement:
        logs = self.work / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        log = logs / f"{len(list(logs.glob('*.log'))):04d}_{side}_{Path(command[0]).name}.log"
        environment = os.environ | {
            "AUTOSEG_WORKSPACE": str(self.workspace),
            "nnUNet_raw": str(self.peer_raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.work / "peer" / "results"),
            **(extra or {}),
        }
        return measure(command, log=log, environment=environment, limit_bytes=self.limit_bytes, by_shares=by_shares)

    def _ask(self, python: Path, *packages: str) -> dict[str, str]:
        answer = subprocess.run([python, "-c", VERSIONS, *packages], check=True, capture_output=True, text=True)
        found: dict[str, str] = json.loads(answer.stdout)
        return found


def alternate(
    bench: Bench, ours: Callable[[], Measurement], peer: Callable[[], Measurement], *, peer_rounds: int | None = None
) -> tuple[list[Measurement], list[Measurement], float]:
    """A B A B; a side that failed is not run again. Returns both sides' runs and the load before."""
    load = load_per_core()
    both: tuple[list[Measurement], list[Measurement]] = ([], [])
    most = (bench.rounds, bench.rounds if peer_rounds is None else min(peer_rounds, bench.rounds))
    for index in range(bench.rounds):
        for call, runs, limit in zip((ours, peer), both, most, strict=True):
            if index < limit and not any(run.failure for run in runs):
                runs.append(call())
    return (*both, load)


def summed(runs: Sequence[Measurement]) -> Measurement:
    """Several commands one after another as one: times add, the largest peak counts, the first failure stays."""
    failure = next((run.failure for run in runs if run.failure), None)
    return Measurement(
        seconds=sum(run.seconds for run in runs),
        cpu_seconds=sum(run.cpu_seconds for run in runs),
        peak_bytes=max(run.peak_bytes for run in runs),
        largest_bytes=max(run.largest_bytes for run in runs),
        failure=failure,
    )


def side(runs: Sequence[Measurement], values: Callable[[Measurement], Sequence[float]]) -> Side:
    """Repetitions of one program, or why there are none."""
    failure = next((run.failure for run in runs if run.failure), None)
    found = tuple(value for run in runs if not run.failure for value in values(run))
    return Side(found, failure, tuple(run.resources() for run in runs))


def wall(run: Measurement) -> tuple[float]:
    """Wall seconds of the whole command."""
    return (run.seconds,)


def cpu(run: Measurement) -> tuple[float]:
    """CPU seconds of the whole command, children included."""
    return (run.cpu_seconds,)


def peak_mib(run: Measurement) -> tuple[float]:
    """Peak memory of all processes in MiB."""
    return (run.peak_bytes / 2**20,)


def largest_mib(run: Measurement) -> tuple[float]:
    """Peak memory of the largest process in MiB: no page counts twice, which favours the side with more processes."""
    return (run.largest_bytes / 2**20,)


def inner(run: Measurement) -> tuple[float]:
    """Seconds that the task itself reported, without start-up."""
    return (float(run.values["seconds"]),)
