"""Commands of autoseg that a benchmark needs done but does not measure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from autoseg.cli import run_command


def run_apart(work: Path, *arguments: object) -> None:
    """A process of its own, told on the screen.

    Raises:
        CalledProcessError: It failed.
    """
    command = [sys.executable, "-m", "autoseg", *map(str, arguments), "--workspace", str(work)]
    print(" ".join(command), flush=True)
    subprocess.run(command, check=True)


def run_here(*arguments: str, workspace: Path) -> None:
    """In this process.

    Raises:
        SystemExit: It failed.
    """
    if code := run_command([*arguments, "--workspace", str(workspace)]):
        raise SystemExit(f"{' '.join(arguments[:4])} ended with {code}")
