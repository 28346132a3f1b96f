"""The command that sets methods side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from autoseg.cli.app import (
    COMMON,
    DONE,
    QUARANTINED,
    Common,
    Configurations,
    Dataset,
    Flag,
    Folds,
    Fractions,
    Methods,
    Overrides,
    app,
)
from autoseg.core.durations import parse_duration_s


@app.command
def compare(
    dataset: Dataset,
    *,
    methods: Methods,
    train_fractions: Fractions = (1.0,),
    configurations: Configurations = (),
    folds: Folds = (),
    overrides: Overrides = (),
    epochs: int | None = None,
    iterations_per_epoch: int | None = None,
    time_budget: str | None = None,
    device: str = "auto",
    seed: int = 0,
    threads: int | None = None,
    replan: Flag = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    common: Common = COMMON,
) -> int:
    """Train methods where that is missing, and write one table and one figure of their scores and costs.

    A rerun goes on where it was stopped. A method that fails is a row with its reason, and the exit code is then 3.

    Args:
        dataset: Id, name or folder.
        methods: Names or TOML files.
        train_fractions: Shares of the training cases, e.g. 0.25 0.5 1 [default: all of them].
        configurations: Only these of 2d, 3d_fullres, 3d_lowres, 3d_cascade_fullres [default: each method's].
        folds: Numbers [default: all five].
        overrides: Setting section.key=value of every method, may be repeated.
        epochs: Epochs [default: each method's].
        iterations_per_epoch: Updates per epoch [default: each method's].
        time_budget: Fill this time per training instead, e.g. 20m.
        device: auto, cpu, cuda, cuda:1 or mps.
        seed: Of every random draw.
        threads: CPU threads.
        replan: Replace plans and runs made with other settings.
        output: Folder for comparison.csv, .md and .png [default: comparisons/DATASET of the workspace].
    """
    workspace = common.open("compare")
    from autoseg.commands import compare as command

    options = command.Options(
        workspace.resolve_dataset(dataset),
        methods=methods,
        fractions=train_fractions,
        configurations=configurations,
        folds=folds,
        workers=common.workers,
        output=output,
        overrides=overrides,
        epochs=epochs,
        iterations_per_epoch=iterations_per_epoch,
        time_budget_s=None if time_budget is None else parse_duration_s(time_budget),
        device=device,
        seed=seed,
        threads=threads,
        replan=replan,
    )
    compared = command.run(options, workspace)
    return QUARANTINED if any(row.entry.problem for row in compared.rows) else DONE
