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
    wheels = ["--extra-index-url", TORCH_WHEELS + build, "--retries", "0", "--timeout", "15"]
    same = [[f"torch=={ours}"], [f"torch=={ours}", *wheels]] if build else []
    return [*same, [f"torch=={public}"], ["torch"]]


def peer_environment(folder: Path, ours: str) -> Path:
    """Interpreter of an environment with nnunetv2, made at the first call.

    Args:
        folder: Of the environment.
        ours: Version of our torch.

    Raises:
        SystemExit: Nothing resolves; the last lines of pip are the message.
    """
    # Torch before the rest: only what it needs is looked for where its wheels lie, which may be out of reach.
    return _environment(folder, PEER, [[torch, [PEER, torch[0]]] for torch in torch_requirements(ours)])


def scorer_environment(folder: Path) -> Path:
    """Interpreter of an environment with surface-distance, made at the first call.

    Raises:
        SystemExit: It does not resolve.
    """
    return _environment(folder, SCORER, [[[SCORER]]])


def _environment(folder: Path, package: str, attempts: Sequence[Sequence[Sequence[str]]]) -> Path:
    """Interpreter of a new environment; each attempt is what is installed one after another."""
    python, finished = folder / "bin" / "python", folder / "finished"
    if finished.is_file():
        return python
    print(f"making {folder} with {package}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    said = ""
    for steps in attempts:
        for requirements in steps:
            command = [str(python), "-m", "pip", "install", "--quiet", *requirements]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                said = " | ".join(done.stderr.strip().splitlines()[-3:])
                break
        else:
            finished.write_text(" ".join(steps[-1]) + "\n")
            return python
    raise SystemExit(f"no environment with {package}: {said}")
