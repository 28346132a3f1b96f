"""`slurm`: write job scripts that prepare a data set, train folds x configurations as arrays, and pack the model."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.atomic import write_text
from autoseg.core.errors import SpecError
from autoseg.core.workspace import Workspace
from autoseg.specs.plan import Plan

CASCADES = {"3d_cascade_fullres": "3d_lowres"}
"""Previous stages, for data sets that are not planned yet."""
GRACE_S = 120
"""Between the signal and the end of a job; a training saves within one update."""

HEAD = """#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --output={logs}/%x_%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:TERM@{grace}
#SBATCH --time={time}
{directives}set -u
"""
BODY = """
child= stopped=
trap 'stopped=1; [ -n "$child" ] && kill -TERM "$child"' TERM
run() {{
    "$@" &
    child=$!
    wait "$child"
    code=$?
    # The signal ends this wait first; the command then saves and ends by itself.
    if [ -n "$stopped" ] && [ "$code" -gt 128 ]; then
        wait "$child"
        code=$?
    fi
    # 75: stopped, and the same command goes on.
    if [ "$code" -eq 75 ]; then
        scontrol requeue {job}
    fi
    if [ "$code" -ne 0 ]; then
        exit "$code"
    fi
}}
{commands}
"""


@dataclass(frozen=True)
class Options:
    """What to write.

    Attributes:
        dataset: Folder name of the data set.
        output: Folder for the scripts.
        method: Name or file.
        configurations: To train; empty takes what is planned.
        folds: Of each.
        time: Limit of each job as Slurm writes it, HH:MM:SS.
        gpus: Per job; preparing takes them too, as the plan is made for the device that it finds.
        directives: More `#SBATCH` lines for every job, such as `--partition=gpu`.
        training: Arguments of every training, such as `--epochs 100`.
    """

    dataset: str
    output: Path
    method: str = "autoseg"
    configurations: tuple[str, ...] = ()
    folds: tuple[str, ...] = ("0", "1", "2", "3", "4")
    time: str = "24:00:00"
    gpus: int = 1
    directives: tuple[str, ...] = ()
    training: tuple[str, ...] = ()


def run(options: Options, workspace: Workspace) -> Path:
    """Write the scripts and `submit.sh`, which submits them in order; nothing is submitted.

    Raises:
        SpecError: No configuration is named and the data set is not planned.
    """
    folder = options.output.absolute()
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    first, wanted = _levels(options, workspace)
    here = ("--workspace", str(workspace.root))
    same = ("--method", options.method, *options.training, *here)
    every = tuple(dict.fromkeys((*first, *wanted)))
    steps = [
        shlex.join(["autoseg", "fingerprint", options.dataset, *here]),
        shlex.join(["autoseg", "plan", options.dataset, "--method", options.method, *here]),
        shlex.join(["autoseg", "preprocess", options.dataset, "--method", options.method, "-c", *every, *here]),
    ]
    jobs = {"prepare": _job(options, "prepare", *steps)}
    for number, names in enumerate(level for level in (first, wanted) if level):
        jobs[f"train_{number}"] = _array(options, f"train_{number}", names, same)
        packing = ["autoseg", "plan_and_train", options.dataset, "-c", *names, "-f", *options.folds, *same]
        last = names is wanted
        jobs["pack" if last else "score"] = _job(options, "pack" if last else "score", shlex.join(packing))
    for name, text in jobs.items():
        write_text(folder / f"{name}.sh", text)
    write_text(folder / "submit.sh", _submission(tuple(jobs)))
    return folder / "submit.sh"


def _levels(options: Options, workspace: Workspace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Configurations that only others learn from, and those that are wanted."""
    path = workspace.plan(options.dataset, Path(options.method).stem)
    previous = dict(CASCADES)
    wanted = options.configurations
    if path.is_file():
        plan = Plan.load(path)
        previous = {name: one.previous_stage for name, one in plan.configurations.items() if one.previous_stage}
        wanted = wanted or plan.candidates
    if not wanted:
        raise SpecError(f"{options.dataset} is not planned", "name the configurations: -c 3d_fullres")
    first = tuple(dict.fromkeys(previous[name] for name in wanted if name in previous))
    return first, wanted


def _array(options: Options, name: str, configurations: Sequence[str], same: Sequence[str]) -> str:
    pairs = [(configuration, fold) for configuration in configurations for fold in options.folds]
    columns = [" ".join(map(shlex.quote, column)) for column in zip(*pairs, strict=True)]
    chosen = '-c "${configurations[SLURM_ARRAY_TASK_ID]}" -f "${folds[SLURM_ARRAY_TASK_ID]}"'
    command = f"{shlex.join(['autoseg', 'train', options.dataset])} {chosen} {shlex.join(same)}"
    head = _head(options, name, array=len(pairs))
    lists = f"configurations=({columns[0]})\nfolds=({columns[1]})\n"
    return head + lists + BODY.format(commands=f"run {command}", job='"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"')


def _job(options: Options, name: str, *commands: str) -> str:
    head = _head(options, name)
    return head + BODY.format(commands="\n".join(f"run {one}" for one in commands), job='"$SLURM_JOB_ID"')


def _head(options: Options, name: str, *, array: int = 0) -> str:
    lines = [f"--array=0-{array - 1}"] if array else []
    lines += [f"--gpus={options.gpus}"] if options.gpus else []
    lines += options.directives
    return HEAD.format(
        name=f"autoseg_{name}",
        logs=options.output.absolute() / "logs",
        grace=GRACE_S,
        time=options.time,
        directives="".join(f"#SBATCH {line}\n" for line in lines),
    )


def _submission(names: Sequence[str]) -> str:
    """Each job starts when the one before it has ended well."""
    lines = ["#!/bin/bash", "set -eu", 'cd "$(dirname "$0")"']
    before = ""
    for name in names:
        lines.append(f"{name}=$(sbatch --parsable {before}{name}.sh)")
        before = f'--dependency=afterok:"${name}" '
    return "\n".join([*lines, f'echo "{" ".join(f"{name}: ${name}" for name in names)}"']) + "\n"
