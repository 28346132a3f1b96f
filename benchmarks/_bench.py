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

from benchmarks._machine import Rates
from benchmarks._measure import Measurement, measure
from benchmarks._results import Check, Limit, Row, Side

HERE = Path(__file__).parent
DATASET = "Dataset004_Hippocampus"
QUICK_CASES = 20
VERSIONS = "import importlib.metadata as m,json,sys;print(json.dumps({n:m.version(n) for n in sys.argv[1:]}))"


class NotHereError(Exception):
    """This machine lacks what a group of rows needs: data, or a GPU. The message says which."""


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
        scorer: Interpreter of an environment with surface-distance, or None to make one.
    """

    peer: Path
    data: Path
    work: Path
    quick: bool
    model: Path | None
    limit_bytes: int
    rounds: int
    scorer: Path | None = None

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

    @cached_property
    def rates(self) -> Rates:
        """The processor at its best, measured once per work folder."""
        return self._rates("cpu")

    @cached_property
    def gpu_rates(self) -> Rates:
        """The GPU at its best."""
        return self._rates("cuda")

    def _rates(self, device: str) -> Rates:
        path = self.work / f"rates_{device}.json"
        if not path.is_file():
            found = self.ours("rates", device=device)
            if found.failure:
                raise RuntimeError(found.failure)
            path.write_text(json.dumps(found.values))
        return Rates(**json.loads(path.read_text()))

    def autoseg(self, *arguments: str | Path, by_shares: bool = False) -> Measurement:
        """Run our command line."""
        return self._run("ours", [Path(sys.executable).parent / "autoseg", *arguments], by_shares=by_shares)

    def nnunet(self, verb: str, *arguments: str | Path, by_shares: bool = False) -> Measurement:
        """Run `nnUNetv2_<verb>`."""
        return self._run("peer", [self.peer.parent / f"nnUNetv2_{verb}", *arguments], by_shares=by_shares)

    def ours(self, task: str, *, script: str = "_ours.py", by_shares: bool = False, **request: Any) -> Measurement:
        """Run a task of a script of ours."""
        return self.script("ours", Path(sys.executable), script, {"task": task, **request}, by_shares=by_shares)

    def peers(
        self,
        task: str,
        *,
        script: str = "_peer.py",
        by_shares: bool = False,
        setting: str | None = None,
        **request: Any,
    ) -> Measurement:
        """Run a task of a script for the peer's interpreter; `setting` is nnUNet_n_proc_DA."""
        content = {"task": task, **request}
        return self.script("peer", self.peer, script, content, by_shares=by_shares, setting=setting)

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
        bar: float | None = None,
        checks: Sequence[Check] = (),
        limit: Limit | None = None,
    ) -> Row:
        """A row with this call's versions."""
        return Row(name, unit, ours, peer, command, self.versions, load, dict(facts or {}), bar, tuple(checks), limit)

    def fresh(self, *parts: str) -> Path:
        """An empty folder under the work folder."""
        folder = self.work.joinpath(*parts)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def script(
        self,
        side: str,
        python: Path,
        name: str,
        request: Mapping[str, Any],
        *,
        by_shares: bool = False,
        setting: str | None = None,
    ) -> Measurement:
        """Run a script of this folder: its argument is the request as JSON, its last line the result."""
        extra = {} if setting is None else {"nnUNet_n_proc_DA": setting}
        content = json.dumps(dict(request), default=str)
        return self._run(side, [python, HERE / name, content], by_shares=by_shares, extra=extra)

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


@dataclass(frozen=True)
class Group:
    """Rows that are measured together.

    Attributes:
        name: For `--only`.
        what: One line.
        make: Measures. Raises NotHereError where it cannot, SetUpError where a preparing command failed.
    """

    name: str
    what: str
    make: Callable[[Bench], list[Row]]

    @classmethod
    def of(cls, make: Callable[[Bench], list[Row]]) -> Group:
        """Named and described by the function itself."""
        return cls(make.__name__.rstrip("_"), (make.__doc__ or "").strip().splitlines()[0], make)
