"""Make the environments that autoseg is compared with: nnU-Net v2, and surface-distance, each by venv and pip."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PEER = "nnunetv2==2.8.1"
SCORER = "surface-distance==0.1"
TORCH_WHEELS = "https://download.pytorch.org/whl/"
"""Wheels of one kind of device lie in a folder of their own, named by the local part of the version (`+cpu`)."""


def torch_requirements(ours: str) -> list[list[str]]:
    """Arguments of pip for a torch as near ours as resolves: the same build, the same version, any.

    Args:
        ours: Version of our torch, e.g. `2.13.0+cpu`.
    """
    public, _, build = ours.partition("+")
    # Every package is looked up there, too: where that place cannot be reached, retries would take an hour.
    kind = ["--retries", "0", "--extra-index-url", TORCH_WHEELS + build] if build else []
    same = [[f"torch=={ours}", *kind]] if build else []
    return [*same, [f"torch=={public}", *kind], ["torch", *kind]]


def peer_environment(folder: Path, ours: str) -> Path:
    """Interpreter of an environment with nnunetv2, made at the first call.

    Args:
        folder: Of the environment.
        ours: Version of our torch.

    Raises:
        SystemExit: Nothing resolves; the last lines of pip are the message.
    """
    return _environment(folder, [[PEER, *torch] for torch in torch_requirements(ours)])


def scorer_environment(folder: Path) -> Path:
    """Interpreter of an environment with surface-distance, made at the first call.

    Raises:
        SystemExit: It does not resolve.
    """
    return _environment(folder, [[SCORER]])


def _environment(folder: Path, attempts: Sequence[Sequence[str]]) -> Path:
    python, finished = folder / "bin" / "python", folder / "finished"
    if finished.is_file():
        return python
    print(f"making {folder} with {attempts[0][0]}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    said = ""
    for requirements in attempts:
        command = [str(python), "-m", "pip", "install", "--quiet", *requirements]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            finished.write_text(" ".join(requirements) + "\n")
            return python
        said = " | ".join(done.stderr.strip().splitlines()[-3:])
    raise SystemExit(f"no environment with {attempts[0][0]}: {said}")
