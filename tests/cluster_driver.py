"""A Dask scheduler and its workers, all forked from one process, so that everything is imported once.

Called with a file, which gets the scheduler's address. Takes lines on standard input, and answers each with one:
`start MODULE FUNCTION DIE_AT`: a worker that kills itself when it begins its DIE_AT-th call of that function (0:
never); answers with its process id once it is connected. `ended ID`: whether that worker is dead.
"""

import asyncio
import importlib
import os
import signal
import sys
from pathlib import Path

from distributed import Scheduler, Worker

import autoseg.inference.case_work
import autoseg.stages.preprocess  # noqa: F401


def mortal(function, die_at):
    calls = 0

    def counting(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return counting


def answer(value):
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


async def scheduler(file):
    async with Scheduler(port=0, host="127.0.0.1", dashboard=False) as one:
        temporary = file.with_suffix(".part")
        temporary.write_text(one.address)
        temporary.rename(file)
        await one.finished()


async def worker(address, place, name, die_at):
    module = importlib.import_module(place)
    setattr(module, name, mortal(getattr(module, name), die_at))
    async with Worker(address, nthreads=1, dashboard=False) as one:
        answer(os.getpid())
        await one.finished()


def forked(work):
    """Process id of a child that does the work."""
    child = os.fork()
    if child == 0:
        asyncio.run(work)
        os._exit(0)
    work.close()
    return child


def main(file):
    children = [forked(scheduler(file))]
    ended = set()
    for line in sys.stdin:
        verb, *rest = line.split()
        if verb == "start":
            place, name, die_at = rest
            children.append(forked(worker(file.read_text(), place, name, int(die_at))))
        else:
            child = int(rest[0])
            if child not in ended and os.waitpid(child, os.WNOHANG)[0]:
                ended.add(child)
            answer(child in ended)
    for child in children:
        if child not in ended:
            os.kill(child, signal.SIGKILL)


main(Path(sys.argv[1]))
