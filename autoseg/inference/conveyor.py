"""Work on many cases with reading, computing and writing at the same time: while one computes, the next is read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

from autoseg.core.errors import AutosegError, StorageError

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Computed = TypeVar("Computed")


@dataclass(frozen=True)
class Finished(Generic[Item]):
    """What became of one item.

    Attributes:
        item: The item.
        error: What stopped it, or None.
        seconds: Computing time.
    """

    item: Item
    error: AutosegError | None
    seconds: float


def run_conveyor(
    items: Iterable[Item],
    *,
    prepare: Callable[[Item], Prepared],
    compute: Callable[[Prepared], Computed],
    finish: Callable[[Item, Computed], None],
    ahead: int = 1,
) -> Iterator[Finished[Item]]:
    """Yield an outcome per item, in order.

    `prepare` and `finish` run in threads of their own, `compute` in the caller's. At most `ahead` items are prepared
    before their turn and as many wait to be finished, so memory holds a few cases however many there are. An error
    about one case is its outcome; an error that is about no case (a full disk) and every other exception propagate.

    Args:
        items: One per case.
        prepare: Read and preprocess.
        compute: Run the networks.
        finish: Decide labels and write.
        ahead: Items in preparation, and in finishing, at a time; 0 does one thing after the other.
    """
    if ahead == 0:
        yield from _one_by_one(items, prepare=prepare, compute=compute, finish=finish)
        return
    queue = iter(items)
    with ThreadPoolExecutor(ahead, "prepare") as readers, ThreadPoolExecutor(ahead, "finish") as writers:

        def read_ahead() -> None:
            waiting.extend((item, readers.submit(prepare, item)) for item in islice(queue, ahead - len(waiting)))

        waiting: deque[tuple[Item, Future[Prepared]]] = deque()
        finishing: deque[tuple[Item, Future[None], float]] = deque()
        try:
            read_ahead()
            while waiting:
                item, reading = waiting.popleft()
                prepared, error = _attempt(reading.result)
                read_ahead()
                started = time.perf_counter()
                computed = None
                if prepared is not None:
                    computed, error = _attempt(partial(compute, prepared))
                del prepared, reading
                seconds = time.perf_counter() - started
                if computed is None:
                    finishing.append((item, writers.submit(_raise, error), seconds))
                else:
                    finishing.append((item, writers.submit(finish, item, computed), seconds))
                del computed
                yield from _drain(finishing, keep=ahead)
            yield from _drain(finishing, keep=0)
        finally:
            readers.shutdown(wait=False, cancel_futures=True)


def _one_by_one(
    items: Iterable[Item],
    *,
    prepare: Callable[[Item], Prepared],
    compute: Callable[[Prepared], Computed],
    finish: Callable[[Item, Computed], None],
) -> Iterator[Finished[Item]]:
    """Memory holds one step of one case."""
    for item in items:
        prepared, error = _attempt(partial(prepare, item))
        started = time.perf_counter()
        computed = None
        if prepared is not None:
            computed, error = _attempt(partial(compute, prepared))
        del prepared
        seconds = time.perf_counter() - started
        if computed is not None:
            _, error = _attempt(partial(finish, item, computed))
        del computed
        yield Finished(item, error, seconds)


def _drain(finishing: deque[tuple[Item, Future[None], float]], *, keep: int) -> Iterator[Finished[Item]]:
    while len(finishing) > keep:
        item, writing, seconds = finishing.popleft()
        _, error = _attempt(writing.result)
        yield Finished(item, error, seconds)


def _attempt(call: Callable[[], Computed]) -> tuple[Computed | None, AutosegError | None]:
    """The result, or the error about this case; others propagate, since the next case would meet them too."""
    try:
        return call(), None
    except AutosegError as error:
        if not is_about_one_case(error):
            raise
        return None, error


def is_about_one_case(error: AutosegError) -> bool:
    """Whether the next case may fare better; errors of the base class itself are the disk's or the machine's."""
    return type(error) is not AutosegError and not isinstance(error, StorageError)


def _raise(error: AutosegError | None) -> None:
    """Keep a failed case in line behind those still being written."""
    if error is not None:
        raise error
