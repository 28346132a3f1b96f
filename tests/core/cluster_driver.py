"""A Dask scheduler, or a worker of one that kills itself when it begins its DIE_AT-th case (0: never).

Called with `scheduler FILE`, which gets the address, or with `worker ADDRESS DIE_AT`.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from distributed import Scheduler, Worker

from autoseg.stages import preprocess


def mortal(function, die_at):
    calls = 0

    def counting(task):
        nonlocal calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(task)

    return counting


async def scheduler(file):
    async with Scheduler(port=0, host="127.0.0.1", dashboard=False) as one:
        temporary = file.with_suffix(".part")
        temporary.write_text(one.address)
        temporary.rename(file)
        await one.finished()


async def worker(address, die_at):
    preprocess._prepare = mortal(preprocess._prepare, die_at)
    async with Worker(address, nthreads=1, dashboard=False) as one:
        await one.finished()


role, place, *rest = sys.argv[1:]
asyncio.run(scheduler(Path(place)) if role == "scheduler" else worker(place, int(rest[0])))
