"""Commands that move models and work to other places: export, import, slurm."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from autoseg.cli.app import COMMON, DONE, Common, Configurations, Dataset, Flag, Folds, app, logger


@app.command
def export(
    model: str,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    format: Literal["autoseg", "nnunet"] = "autoseg",  # noqa: A002 - the flag's name
    method: str | None = None,
    no_postprocess: Flag = False,
    common: Common = COMMON,
) -> int:
    """Pack a trained model in one file, for another workspace or for nnU-Net v2.

    Args:
        model: Model folder, or id or name of the data set whose model it is.
        output: Zip file; with --format nnunet also a folder.
        format: autoseg, or nnunet for folders that nnU-Net v2 predicts with.
        method: Method, where the data set has models of several.
        no_postprocess: Leave post-processing out.
    """
    workspace = common.open("export")
    from autoseg.commands import export as command

    options = command.Options(model, output, format=format, method=method, postprocess=not no_postprocess)
    logger.info("%s", command.run(options, workspace))
    return DONE


@app.command(name="import")
def import_(
    source: Path,
    /,
    *,
    id: int | None = None,  # noqa: A002 - the flag's name
    dataset_name: Annotated[str | None, Parameter(name="--name")] = None,
    overwrite: Flag = False,
    configurations: Configurations = (),
    folds: Folds = (),
    checkpoint: Literal["final", "best", "latest"] = "final",
    any_trainer: Flag = False,
    no_postprocess: Flag = False,
    postprocessing: Path | None = None,
    common: Common = COMMON,
) -> int:
    """Take in a packed model, or a trained nnU-Net v2 model; no code of it is run.

    Args:
        source: What export wrote, a model folder, or nnU-Net's folder (of a data set or a configuration) or zip.
        id: Data set number to file it under [default: its own].
        dataset_name: Data set name to file it under [default: its own].
        overwrite: Replace a model of the same data set and method.
        configurations: nnU-Net: use these [default: the one that is trained, or that nnU-Net chose].
        folds: nnU-Net: only these [default: all that are trained].
        checkpoint: nnU-Net: which of a fold's weights.
        any_trainer: nnU-Net: trust that a trainer unknown to nnU-Net builds the network of the plans.
        no_postprocess: nnU-Net: leave its post-processing out.
        postprocessing: nnU-Net: postprocessing.pkl to take [default: that of its cross-validation].
    """
    workspace = common.open("import")
    from autoseg.commands import import_ as command

    options = command.Options(
        source,
        id=id,
        name=dataset_name,
        overwrite=overwrite,
        configurations=configurations,
        folds=folds,
        checkpoint=checkpoint,
        any_trainer=any_trainer,
        postprocess=not no_postprocess,
        postprocessing=postprocessing,
    )
    logger.info("model: %s", command.run(options, workspace))
    return DONE


@app.command
def slurm(
    dataset: Dataset,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    method: str = "autoseg",
    configurations: Configurations = (),
    folds: Folds = ("0", "1", "2", "3", "4"),
    time: str = "24:00:00",
    gpus: int = 1,
    sbatch: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    training: Annotated[str, Parameter(name="--training")] = "",
    common: Common = COMMON,
) -> int:
    """Write Slurm scripts that prepare, train folds x configurations as arrays, and pack; nothing is submitted.

    Args:
        dataset: Id, name or folder.
        output: Folder for the scripts; submit.sh there submits them.
        method: Name or TOML file.
        configurations: To train [default: all that are planned].
        folds: Of each.
        time: Limit of each job, HH:MM:SS.
        gpus: Per job; 0 for none.
        sbatch: Further line for every job, e.g. --sbatch=--partition=gpu; may be repeated.
        training: Arguments of every training in quotes, e.g. --training="--epochs 100".
    """
    workspace = common.open("slurm")
    from autoseg.commands import slurm as command

    options = command.Options(
        workspace.resolve_dataset(dataset),
        output,
        method=method,
        configurations=configurations,
        folds=folds,
        time=time,
        gpus=gpus,
        directives=sbatch,
        training=tuple(shlex.split(training)),
    )
    logger.info("submit by: bash %s", command.run(options, workspace))
    return DONE
