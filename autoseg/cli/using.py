"""Commands that use a model and judge it: predict, evaluate; and info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from autoseg.cli.app import (
    COMMON,
    DONE,
    QUARANTINED,
    USER_ERROR,
    Common,
    Configurations,
    Flag,
    Folds,
    Input,
    OptionalDataset,
    OptionalModel,
    Output,
    app,
)
from autoseg.core.errors import SpecError


@app.command
def predict(
    *,
    input: Input,  # noqa: A002 - the flag's name
    output: Output,
    model: OptionalModel = None,
    dataset: OptionalDataset = None,
    method: str | None = None,
    configurations: Configurations = (),
    folds: Folds = (),
    device: str = "auto",
    disable_tta: Flag = False,
    step_size: float | None = None,
    overwrite: Flag = False,
    save_probabilities: Flag = False,
    no_postprocess: Flag = False,
    weights: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = (),
    common: Common = COMMON,
) -> int:
    """Segment every image of a folder.

    An image that cannot be used is named and the rest goes on; the exit code is then 3, or 2 when none could be used.

    Args:
        input: Folder of images named CASE_0000.nii.gz, CASE_0001.nii.gz ... per channel, or one image.
        output: Folder for the masks; complete ones are kept.
        model: Model folder [default: the only one in the workspace].
        dataset: Data set whose model to use.
        method: Method whose model to use.
        configurations: Members to use [default: the selected ones].
        folds: Folds to average [default: all].
        device: auto, cpu, cuda, cuda:1 or mps.
        disable_tta: No mirroring: faster, a little worse.
        step_size: Window step as a share of the patch.
        overwrite: Predict again what is there.
        save_probabilities: Also keep compact probabilities.
        no_postprocess: Masks as the network gives them.
        weights: Share of a member in the average, such as 3d_fullres=2 [default: the model's, else 1 each].
    """
    workspace = common.open("predict")
    from autoseg.stages import predict as stage

    options = stage.Options(
        input=input,
        output=output,
        model=model,
        dataset=None if dataset is None else workspace.resolve_trained(dataset),
        method=method,
        configurations=configurations,
        folds=folds,
        device=device,
        mirror=False if disable_tta else None,
        step_size=step_size,
        overwrite=overwrite,
        save_probabilities=save_probabilities,
        postprocess=not no_postprocess,
        weights=dict(_weight(text) for text in weights),
        workers=common.workers,
        memory_limit=common.memory_limit_bytes,
    )
    outcome = stage.run(options, workspace)
    if not outcome.failed:
        return DONE
    return QUARANTINED if outcome.written or outcome.kept else USER_ERROR


def _weight(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise SpecError(f"--weights {text}", "write CONFIGURATION=NUMBER, such as 3d_fullres=2") from None


@app.command
def evaluate(
    *,
    input: Input,  # noqa: A002 - the flag's name
    references: Annotated[Path, Parameter(name=["--references", "-r"])],
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("report.json"),
    dataset: OptionalDataset = None,
    labels: Path | None = None,
    protocol: str = "autoseg",
    tolerance: float = 1.0,
    no_surface: Flag = False,
    figures: bool = True,
    common: Common = COMMON,
) -> int:
    """Score masks against references.

    Args:
        input: Folder of masks.
        references: Folder of reference masks of the same names.
        output: Report to write; a CSV lies beside it.
        dataset: Data set whose labels apply.
        labels: dataset.json whose labels apply.
        protocol: NAME, NAME:VARIANT such as brats2023:men, or auto for that of the data set's challenge.
        tolerance: Of the surface Dice (NSD), mm.
        no_surface: Leave the surface distances out.
        figures: Draw the confusion matrix, and with --dataset the best, median and worst case.
    """
    workspace = common.open("evaluate")
    from autoseg.reporting.tables import print_report
    from autoseg.stages import evaluate as stage

    options = stage.Options(
        predictions=input,
        references=references,
        output=output,
        dataset=None if dataset is None else workspace.resolve_dataset(dataset),
        labels=labels,
        protocol=protocol,
        tolerance_mm=tolerance,
        surface=not no_surface,
        figures=figures,
        workers=common.workers,
    )
    print_report(stage.run(options, workspace))
    return DONE


@app.command
def info(*, datasets: Flag = False, device: str = "auto", common: Common = COMMON) -> int:
    """Show versions, device, memory, methods, and what the workspace holds.

    Args:
        datasets: List the converters and what they need.
        device: Device to describe: auto, cpu, cuda or cuda:1.
    """
    workspace = common.open("info")
    from autoseg.commands import info as command

    command.run(command.Options(datasets=datasets, device=device), workspace)
    return DONE
