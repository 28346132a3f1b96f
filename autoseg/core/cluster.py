"""Run one function over many cases on a Dask cluster; lost workers' cases are run again by others."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from typing import Any, TypeVar

from autoseg.core.errors import AutosegError, WorkerError
from autoseg.core.workers import Outcome, attempt

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")
SAY_EVERY_S = 10.0
CONNECT_S = 10.0


def run_on_cluster(
    function: Callable[[Item], Result], items: Sequence[Item], *, scheduler: str
) -> Iterator[Outcome[Item, Result]]:
    """As `autoseg.core.workers.run_cases`, by the workers of a Dask scheduler.

    The scheduler gives the cases of a lost worker to another one; a case on which several die (4, unless the cluster is
    set up otherwise) is given up, as it would take all of them down one after the other.

    Raises:
        AutosegError: Dask is not installed, or no scheduler answers.
    """
    with _connected(scheduler) as client:
        client.subscribe_topic("all", _tell_lost_worker)
        # Pure functions would be remembered by their arguments: files may have changed since.
        executor = client.get_executor(pure=False)
        running: dict[Future[Outcome[Item, Result]], Item] = {
            executor.submit(attempt, function, item): item for item in items
        }
        said = time.monotonic()
        for done, future in enumerate(as_completed(running), start=1):
            yield _collect(future, running[future])
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                logger.info("%d of %d cases done by %d workers", done, len(items), len(client.nthreads()))


def _collect(future: Future[Outcome[Item, Result]], item: Item) -> Outcome[Item, Result]:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        error = WorkerError("all workers that tried it were killed", "most often memory ran out; give them more")
        return Outcome(item, error=error)


@contextlib.contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        raise AutosegError("--scheduler needs Dask", 'pip install "autoseg[dask]"') from None
    try:
        client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        problem = f"no Dask scheduler answers at {scheduler} ({error})"
        raise AutosegError(problem, "start one (dask scheduler), or mend the address, as tcp://host:8786") from None
    with client:
        yield client


def _tell_lost_worker(event: tuple[float, Any]) -> None:
    """Log the death of a worker; one that ends as it should is no news."""
    _, message = event
    if isinstance(message, dict) and message.get("action") == "remove-worker" and not message.get("expected"):
        again = len(message.get("processing-tasks", ())) + len(message.get("lost-computed-tasks", ()))
        logger.warning("worker %s died; %d cases of it are run again", message.get("worker"), again)
