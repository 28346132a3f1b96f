"""Train in forked processes that kill themselves at a chosen moment, then go on without: one import of torch for all.

Called with a folder that holds the prepared workspace and a JSON file for the results.
"""

import gc
import json
import os
import signal
import sys
from pathlib import Path

# Loaded once, before the forks; the optimisers of torch load its compiler.
import torch._dynamo  # noqa: F401

from autoseg.cli import run_command
from autoseg.reporting import curves
from autoseg.reporting.training_view import TrainingView
from autoseg.stages import train  # noqa: F401
from autoseg.training import assembly, trainer  # noqa: F401
from autoseg.training.trainer import Trainer

COMMAND = ("train", "1", "-f", "0", "--epochs", "2", "--iterations-per-epoch", "3", "--threads", "1", "--device", "cpu")


curves.draw_curves = lambda *_, **__: None  # half of the time of these tiny runs


def die(number=signal.SIGKILL):
    os.kill(os.getpid(), number)


def at_call(count, before=None, after=None):
    """Decorate a function: act around its call number `count`."""

    def decorate(function):
        calls = 0

        def counting(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == count and before:
                before()
            result = function(*arguments, **options)
            if calls == count and after:
                after()
            return result

        return counting

    return decorate


def half_written(name, count):
    """`Path.write_bytes` of file `name` dies at call `count` with half of the content on disk."""
    original, calls = Path.write_bytes, 0

    def write_bytes(path, content):
        nonlocal calls
        calls += path.name == name
        if path.name == name and calls == count:
            original(path, content[: len(content) // 2])
            die()
        return original(path, content)

    Path.write_bytes = write_bytes


def unflushed(name, count):
    """`os.fsync` of file `name` dies at call `count`: all is written, nothing renamed."""
    original, calls = os.fsync, 0

    def fsync(handle):
        nonlocal calls
        hit = Path(f"/proc/self/fd/{handle}").readlink().name == name
        calls += hit
        if hit and calls == count:
            die()
        return original(handle)

    os.fsync = fsync


def patch(owner, name, decorate):
    setattr(owner, name, decorate(getattr(owner, name)))


SCENARIOS = {
    "unbroken": lambda: None,
    "before_checkpoint": lambda: patch(Trainer, "save", at_call(2, before=die)),
    "half_checkpoint": lambda: half_written(trainer.CHECKPOINT, 2),
    "unflushed_checkpoint": lambda: unflushed(trainer.CHECKPOINT, 4),
    "after_checkpoint": lambda: patch(Trainer, "save", at_call(5, after=die)),
    "first_update": lambda: patch(trainer, "gradient_step", at_call(1, before=die)),
    "in_validation": lambda: patch(Trainer, "_validate", at_call(2, after=die)),
    "after_log_line": lambda: patch(TrainingView, "epoch_finished", at_call(1, before=die)),
    "half_best_weights": lambda: half_written(trainer.BEST, 1),
    "half_final_weights": lambda: half_written(trainer.FINAL, 1),
    "sigterm": lambda: patch(trainer, "gradient_step", at_call(2, after=lambda: die(signal.SIGTERM))),
    "sigint": lambda: patch(trainer, "gradient_step", at_call(4, after=lambda: die(signal.SIGINT))),
}


def in_fork(prepare, folder, errors):
    """Exit code of the command in a forked process; minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        with errors.open("w") as file:
            os.dup2(file.fileno(), 2)
        trainer.CHECKPOINT_INTERVAL_S, trainer.SAVING_SHARE = -1.0, float("inf")  # a checkpoint after every update
        prepare()
        code = run_command([*COMMAND, "--workspace", str(folder)])
        sys.stderr.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(root, results):
    codes = {}
    gc.freeze()  # a collection in a fork would copy every page of torch's modules
    for name, prepare in SCENARIOS.items():
        folder = root / name
        folder.mkdir()
        for part in ("raw", "prepared"):
            (folder / part).symlink_to(root / "prepared_workspace" / part)
        first = in_fork(prepare, folder, folder / "first.txt")
        codes[name] = [first, in_fork(lambda: None, folder, folder / "second.txt")]
    results.write_text(json.dumps(codes))


main(Path(sys.argv[1]), Path(sys.argv[2]))
