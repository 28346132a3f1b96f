"""Segment cases by the workers of a Dask cluster; each loads the model folder once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.core.atomic import remove_partial
from autoseg.core.errors import AutosegError, WorkerError
from autoseg.core.workers import run_cases
from autoseg.inference.case_log import CaseLog
from autoseg.inference.conveyor import Finished, is_about_one_case
from autoseg.inference.jobs import Job
from autoseg.inference.settings import CaseSettings
from autoseg.specs.document import digest_of

if TYPE_CHECKING:
    from autoseg.inference.case_work import CaseWork
    from autoseg.inference.region import Story


@dataclass(frozen=True)
class Task:
    """One case for a worker.

    Attributes:
        job: Images and mask, by absolute paths.
        settings: Model folder, by its absolute path, and settings.
        state: Of the model folder when the call began: a worker that lives on must not use an older one.
    """

    job: Job
    settings: CaseSettings
    state: str


@dataclass(frozen=True)
class Done:
    """What a worker made of a case.

    Attributes:
        error: What is wrong with the case, or None.
        seconds: Time with the networks.
        story: Of a region-of-interest cascade.
    """

    error: AutosegError | None = None
    seconds: float = 0.0
    story: Story | None = None


def segment_on_cluster(jobs: Sequence[Job], settings: CaseSettings) -> Iterator[Finished[Job]]:
    """Segment by the workers of the scheduler in use, in any order; cases of a lost worker are done by another.

    Raises:
        AutosegError: No scheduler answers, or a worker cannot load the model.
        StorageError: The disk is full, or the folder cannot be written.
    """
    settings = replace(settings, folder=settings.folder.absolute())
    state = folder_state(settings.folder)
    tasks = [Task(_absolute(job), settings, state) for job in jobs]
    folder = tasks[0].job.output.parent
    log = CaseLog(folder)
    for outcome in run_cases(segment, tasks, workers=1):
        if outcome.error is not None and not isinstance(outcome.error, WorkerError):
            raise outcome.error
        done = outcome.result or Done(outcome.error)
        if done.story is not None:
            log.write(outcome.item.job.case.case_id, done.story)
        yield Finished(outcome.item.job, done.error, done.seconds)
    remove_partial(folder)  # of workers that died while they wrote


def segment(task: Task) -> Done:
    """Segment one case in this process, with the model that it holds.

    One case computes at a time; a worker with several threads reads and writes others meanwhile.

    Raises:
        AutosegError: What stops every case: the model cannot be loaded, or the disk is full.
    """
    work = _held.get(task)
    seconds = 0.0
    try:
        prepared = work.prepare(task.job)
        with _computing:
            started = time.perf_counter()
            members = work.compute(prepared)
            seconds = time.perf_counter() - started
        return Done(None, seconds, work.finish(task.job, members))
    except AutosegError as error:
        if not is_about_one_case(error):
            raise
        return Done(error, seconds)


def folder_state(folder: Path) -> str:
    """Digest of names, sizes and times of the files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    stats = [(path, path.stat()) for path in files]
    return digest_of({path.relative_to(folder).as_posix(): [at.st_size, at.st_mtime_ns] for path, at in stats})


class _Held:
    """The model that this process has loaded; a second one takes its place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[CaseSettings, str] | None = None
        self._work: CaseWork | None = None

    def get(self, task: Task) -> CaseWork:
        with self._lock:
            key = (task.settings, task.state)
            if self._work is None or self._key != key:
                self._work = None  # frees the memory of the other one first
                self._work, self._key = _load(task.settings), key
            return self._work


_held = _Held()
_computing = threading.Lock()


def _load(settings: CaseSettings) -> CaseWork:
    # The process that hands out the cases needs no torch.
    from autoseg.inference.case_work import CaseWork

    try:
        return CaseWork(settings)
    except AutosegError as error:
        problem = f"a worker on {socket.gethostname()} cannot load the model: {error.problem}"
        raise AutosegError(problem, "all machines must see the model folder under the same path") from None


def _absolute(job: Job) -> Job:
    case = replace(job.case, images=tuple(path.absolute() for path in job.case.images))
    return Job(case, job.output.absolute())
