"""Run one function over many cases: in this process, in supervised spawned workers, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from autoseg.core.errors import AutosegError, WorkerError

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: a result, or the error that stopped it."""

    item: Item
    result: Result | None = None
    error: AutosegError | None = None


_scheduler: str | None = None


def use_scheduler(address: str | None) -> None:
    """Run cases on the Dask cluster of this scheduler from now on; None goes back to this machine."""
    global _scheduler
    _scheduler = address


def on_cluster() -> bool:
    """Whether cases go to a Dask cluster."""
    return _scheduler is not None


def default_workers() -> int:
    """Processes to use when nobody says: the CPUs this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_cases(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int
) -> Iterator[Outcome[Item, Result]]:
    """Yield an outcome per item as it completes, in any order.

    An `AutosegError` raised for an item, or the death of its worker, is that item's outcome and the rest goes on;
    any other exception is a bug and propagates.

    Args:
        function: Picklable; called once per item.
        items: One per case.
        workers: Processes; 0 or 1 runs in this process. A cluster has workers of its own.
    """
    if _scheduler is not None and items:
        from autoseg.core.cluster import run_on_cluster

        yield from run_on_cluster(function, items, scheduler=_scheduler)
        return
    if workers <= 1 or len(items) <= 1:
        for item in items:
            yield attempt(function, item)
        return
    yield from _Supervisor(function, items, min(workers, len(items))).outcomes()


def run_cases_growing(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, alone_s: float = 2.0
) -> Iterator[Outcome[Item, Result]]:
    """As `run_cases`, but other processes are started only for what is left after `alone_s` seconds of work here.

    Starting processes takes as long as many small cases do.
    """
    if _scheduler is not None:
        yield from run_cases(function, items, workers=workers)
        return
    started = time.monotonic()
    for done, outcome in enumerate(run_cases(function, items, workers=1), start=1):
        yield outcome
        if workers > 1 and time.monotonic() - started > alone_s:
            yield from run_cases(function, items[done:], workers=workers)
            return


def attempt(function: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    """Outcome of one item."""
    try:
        return Outcome(item, function(item))
    except AutosegError as error:
        return Outcome(item, error=error)


class _Supervisor(Generic[Item, Result]):
    """One single-process executor per worker, so that a death names exactly one item."""

    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> None:
        self.function = function
        self.pending = list(reversed(items))
        self.threads = max(1, default_workers() // workers)
        self.executors = [self._spawn() for _ in range(workers)]

    def _spawn(self) -> ProcessPoolExecutor:
        # Here, as every command imports this module and few start processes.
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def outcomes(self) -> Iterator[Outcome[Item, Result]]:
        running: dict[Future[Outcome[Item, Result]], tuple[int, Item]] = {}
        try:
            for slot in range(len(self.executors)):
                self._submit(slot, running)
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    slot, item = running.pop(future)
                    outcome = self._collect(future, slot, item)
                    self._submit(slot, running)
                    yield outcome
        finally:
            for executor in self.executors:
                executor.shutdown(wait=True, cancel_futures=True)

    def _submit(self, slot: int, running: dict[Future[Outcome[Item, Result]], tuple[int, Item]]) -> None:
        if self.pending:
            item = self.pending.pop()
            # The process starts here, with the variables as they are now.
            with _inherited_threads(self.threads):
                running[self.executors[slot].submit(attempt, self.function, item)] = (slot, item)

    def _collect(self, future: Future[Outcome[Item, Result]], slot: int, item: Item) -> Outcome[Item, Result]:
        try:
            return future.result()
        except BrokenExecutor:
            logger.warning("a worker died on %s; it is replaced", item)
            self.executors[slot].shutdown(wait=False)
            self.executors[slot] = self._spawn()
            error = WorkerError("its worker process was killed", "most often memory ran out; try fewer --workers")
            return Outcome(item, error=error)


@contextlib.contextmanager
def _inherited_threads(count: int) -> Iterator[None]:
    """Share the CPUs among the processes started inside: numeric libraries read these variables once, when loaded.

    Without it each of 16 processes would start 16 threads. What the user has set stays.
    """
    names = [name for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS") if name not in os.environ]
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
