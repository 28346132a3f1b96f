"""The command line: parse, call one function, turn errors into one line and an exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from cyclopts import CycloptsError

from autoseg.cli import comparing, data, learning, packing, sharing, using  # noqa: F401 - they register their commands
from autoseg.cli.app import CTRL_C, DONE, RESUMABLE, USER_ERROR, Common, app, flow
from autoseg.core.errors import AutosegError, Interrupted
from autoseg.core.workers import use_scheduler

for documented in (*(app[verb].default_command for verb in app if not verb.startswith("-")), Common, learning.Training):
    flow(documented)


def main() -> None:
    """Entry point of `autoseg`, and of `autoseg_<verb>` by the name it was started with."""
    # Training holds this signal until its state is saved; every other stage keeps whole cases and can end at once.
    signal.signal(signal.SIGTERM, _terminate)
    started_as = Path(sys.argv[0]).stem
    verb = started_as.removeprefix("autoseg_").replace("-", "_") if started_as.startswith("autoseg_") else None
    sys.exit(run_command([*([verb] if verb else []), *sys.argv[1:]]))


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    # Not `print`: the signal may have come in the middle of one.
    os.write(sys.stderr.fileno(), b"autoseg: stopped: run the same command again to go on\n")
    sys.exit(RESUMABLE)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code (see the reference page on exit codes)."""
    tokens = list(arguments)
    if tokens and not tokens[0].startswith("-"):
        tokens[0] = tokens[0].replace("_", "-")
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _say(" ".join(str(error).split()), USER_ERROR)
    except Interrupted as error:
        return _say(str(error), CTRL_C if error.signal_number == signal.SIGINT else RESUMABLE)
    except AutosegError as error:
        return _say(str(error), USER_ERROR)
    except KeyboardInterrupt:
        return _say("interrupted: run the same command again to go on", CTRL_C)
    finally:
        use_scheduler(None)  # callers from Python go on without this command's cluster
    return code if isinstance(code, int) else DONE


def _say(message: str, code: int) -> int:
    print(f"autoseg: {message}", file=sys.stderr)  # noqa: T201 - the terminal is this module's job
    logging.getLogger("autoseg.file").debug("exit code %d: %s", code, message)
    return code
