"""The application, the options that mean the same everywhere, and logging."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import logging
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from autoseg import __version__
from autoseg.core.errors import SpecError
from autoseg.core.workers import use_scheduler
from autoseg.core.workspace import Workspace

DONE, USER_ERROR, QUARANTINED, RESUMABLE, CTRL_C = 0, 2, 3, 75, 130
"""Exit codes; 1 is a bug, with its traceback."""
ON_CLUSTERS = ("fingerprint", "preprocess", "predict", "evaluate")
WITHIN_MEMORY = ("fingerprint", "preprocess", "predict", "plan_and_train")
logger = logging.getLogger("autoseg")
CONVERTERS = "dataset_conversion"


def _split(_kind: type, tokens: Sequence[object]) -> tuple[str, ...]:
    """`-f 0 1 2`, `-f 0,1,2` and `-f 0 -f 1` are the same."""
    values = [getattr(token, "value", token) for token in tokens]
    return tuple(part for value in values for part in str(value).split(",") if part)


def _split_numbers(kind: type, tokens: Sequence[object]) -> tuple[float, ...]:
    return tuple(float(part) for part in _split(kind, tokens))


_LIST = {"consume_multiple": True, "converter": _split, "negative": "", "show_default": False}
Dataset = Annotated[str, Parameter(name=["--dataset", "-d"])]
OptionalDataset = Annotated[str | None, Parameter(name=["--dataset", "-d"])]
Configurations = Annotated[tuple[str, ...], Parameter(name=["--configurations", "-c"], **_LIST)]
Folds = Annotated[tuple[str, ...], Parameter(name=["--folds", "-f"], **_LIST)]
Methods = Annotated[tuple[str, ...], Parameter(name=["--methods"], **_LIST)]
Fractions = Annotated[
    tuple[float, ...], Parameter(name=["--train-fractions"], **{**_LIST, "converter": _split_numbers})
]
Overrides = Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)]
Input = Annotated[Path, Parameter(name=["--input", "-i"])]
Output = Annotated[Path, Parameter(name=["--output", "-o"])]
OptionalModel = Annotated[Path | None, Parameter(name=["--model", "-m"])]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Level = Literal["debug", "info", "warning", "error"]
OwnOptions = Annotated[str, Parameter(show_default=False)]
"""Flags that a command does not know itself: options of the converter or format that it is given."""


@Parameter(name="*", group=Group("Everywhere", sort_key=9))
@dataclass(frozen=True)
class Common:
    """Options of every command.

    Attributes:
        workspace: Folder of all data and models [default: AUTOSEG_WORKSPACE, else ./autoseg_workspace].
        log_level: How much to say.
        workers: Processes for work on many cases [default: as many as pay].
        scheduler: Dask cluster to work on instead, e.g. tcp://host:8786; fingerprint, preprocess, predict and
            evaluate.
        memory_limit: Memory to hold at most, e.g. 4GB, 512MiB or 50%; fingerprint, preprocess, predict and
            plan_and_train (but for its training) [default: what is free, as far as possible].
    """

    workspace: Path | None = None
    log_level: Level = "info"
    workers: int | None = None
    scheduler: str | None = None
    memory_limit: str | None = None

    @property
    def memory_limit_bytes(self) -> int | None:
        """The limit in bytes; a percentage is of what the machine or the container has."""
        if self.memory_limit is None:
            return None
        from autoseg.core.sizes import parse_size
        from autoseg.devices.memory import memory_limit_bytes

        return parse_size(self.memory_limit, whole=memory_limit_bytes())

    def open(self, verb: str) -> Workspace:
        """The workspace, with logging set up for this command."""
        if "TORCHELASTIC_RUN_ID" in os.environ and verb != "train":
            raise SpecError(f"torchrun is for 'autoseg train' alone, not for {verb}", "start it without torchrun")
        if self.scheduler is not None and verb not in ON_CLUSTERS:
            raise SpecError(f"{verb} does not run on a Dask cluster", f"--scheduler is for {', '.join(ON_CLUSTERS)}")
        if self.memory_limit is not None and verb not in WITHIN_MEMORY:
            raise SpecError(f"{verb} keeps to no memory limit", f"--memory-limit is for {', '.join(WITHIN_MEMORY)}")
        if self.memory_limit is not None and self.scheduler is not None:
            raise SpecError("--memory-limit is for this machine", "limit the cluster by dask worker --memory-limit")
        use_scheduler(self.scheduler)
        root = self.workspace or Path(os.environ.get("AUTOSEG_WORKSPACE") or "autoseg_workspace")
        _start_logging(verb, self.log_level, root.absolute())
        return Workspace(root.absolute())


COMMON = Common()
app = App(
    name="autoseg",
    help="Self-configuring medical image segmentation: from a folder of labelled scans to evaluated masks.",
    version=__version__,
    version_flags=["--version"],
    help_flags=["--help", "-h"],
    help_format="plaintext",  # see `flow`
    suppress_keyboard_interrupt=False,
)


_WRAPPED = re.compile(r"(?<=\S)\n(?=\S)|\n {8,}")
"""Line ends of a cleaned docstring within a paragraph, and before the further lines of an argument."""


def flow(documented: object) -> None:
    """Make a docstring plain text for the help: paragraphs in one line each, without marks of code.

    Help in plain text takes a fifth less start-up than with a parser of Markdown, but prints what it is given.
    """
    documented.__doc__ = _WRAPPED.sub(" ", inspect.cleandoc(documented.__doc__ or "")).replace("`", "")


def own_options(flags: Mapping[str, str], pairs: Sequence[str], *, command: str) -> tuple[tuple[str, str], ...]:
    """Options of a converter or a format, written as flags or as `--option key=value`.

    Args:
        flags: Flags that the command does not know -> values.
        pairs: `key=value` each.
        command: Its own flags are known: one that nearly is one of them is taken for a slip.

    Raises:
        SpecError: A pair without `=`, a flag that is a slip, or an option given twice.
    """
    known = {name for argument in app[command].assemble_argument_collection() for name in argument.names}
    found = [(name.replace("-", "_"), value) for name, value in flags.items()]
    for name in flags:
        close = difflib.get_close_matches(f"--{name}", known, n=1, cutoff=0.8)
        if close:
            raise SpecError(f"{command} has no flag --{name}", f"did you mean {close[0]}? Else --option {name}=...")
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise SpecError(f"--option {pair}", "write it as key=value")
        found.append((key, value))
    names = [name for name, _ in found]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"the option {name} is given twice", "give it once")
    return tuple(found)


class _LogFile(logging.FileHandler):
    """A file that a full or read-only disk leaves incomplete: the command's own one line says what is wrong."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _Once(logging.Filter):
    """Converters look at their source more than once and would repeat themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is not a converter's, or new."""
        if not record.name.startswith(CONVERTERS):
            return True
        message = record.getMessage()
        is_new = message not in self.said
        self.said.add(message)
        return is_new


def _start_logging(verb: str, level: str, root: Path) -> None:
    """Plain lines on standard error, and everything in a file of the workspace when there is one."""
    console = logging.StreamHandler()
    # Of several processes of a training the first one speaks, the others only when something is wrong.
    is_first = os.environ.get("RANK", "0") == "0" or "TORCHELASTIC_RUN_ID" not in os.environ
    console.setLevel(level.upper() if is_first else max(logging.WARNING, getattr(logging, level.upper())))
    console.setFormatter(logging.Formatter(f"{verb}: %(message)s"))
    handlers: list[logging.Handler] = [console]
    if root.is_dir():
        folder = root / "logs"
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
        file = _LogFile(folder / f"{time.strftime('%Y%m%d-%H%M%S')}_{verb}_{os.getpid()}.log", delay=True)
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        handlers.append(file)
    for handler in handlers:
        handler.addFilter(_Once())
    for name in ("autoseg", CONVERTERS):
        own = logging.getLogger(name)
        own.setLevel(logging.DEBUG)
        for handler in tuple(own.handlers):
            own.removeHandler(handler)
            with contextlib.suppress(OSError):
                handler.close()
        for handler in handlers:
            own.addHandler(handler)
