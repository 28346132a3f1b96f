"""Commands between training and the challenge: ensemble, postprocess, submit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from autoseg.cli.app import (
    COMMON,
    DONE,
    QUARANTINED,
    USER_ERROR,
    Common,
    Configurations,
    Dataset,
    Flag,
    Folds,
    Input,
    OptionalDataset,
    OptionalModel,
    OwnOptions,
    app,
    logger,
    own_options,
)
from autoseg.core.errors import SpecError

if TYPE_CHECKING:
    from autoseg.specs.document import Component

OptionalInput = Annotated[Path | None, Parameter(name=["--input", "-i"])]
OptionalOutput = Annotated[Path | None, Parameter(name=["--output", "-o"])]


@app.command
def ensemble(
    dataset: Dataset,
    *,
    method: str = "autoseg",
    configurations: Configurations = (),
    folds: Folds = (),
    search_weights: Flag = False,
    common: Common = COMMON,
) -> int:
    """Choose what predicts by the scores of the held-out cases, and pack it into a model folder.

    Args:
        dataset: Id, name or folder.
        method: Name of the method.
        configurations: Only these [default: all that are trained].
        folds: Only these [default: all that are trained].
        search_weights: Try unequal shares where an average is selected, and keep them where they are worth it.
    """
    workspace = common.open("ensemble")
    from autoseg.stages import ensemble as stage

    options = stage.Options(
        workspace.resolve_dataset(dataset),
        method=method,
        configurations=configurations,
        folds=folds,
        search_weights=search_weights,
    )
    logger.info("model: %s", stage.run(options, workspace))
    return DONE


@app.command
def postprocess(
    dataset: OptionalDataset = None,
    *,
    method: str = "autoseg",
    input: OptionalInput = None,  # noqa: A002 - the flag's name
    output: OptionalOutput = None,
    model: OptionalModel = None,
    step: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    overwrite: Flag = False,
    common: Common = COMMON,
) -> int:
    """Decide which cleaning steps raise the scores of the held-out cases; or clean a folder of masks.

    Args:
        dataset: Data set whose model to decide for, or whose model's steps to apply.
        method: Name of the method.
        input: Folder of masks to clean instead.
        output: Folder for the cleaned masks.
        model: Model folder whose steps to apply.
        step: Step to apply instead, e.g. `--step "drop_small volume_mm3=50"`; may be repeated.
        overwrite: Decide again although nothing has changed.
    """
    workspace = common.open("postprocess")
    from autoseg.stages import postprocess as stage

    name = None if dataset is None else workspace.resolve_dataset(dataset)
    if input is None and output is None:
        if name is None:
            raise SpecError("nothing to do is named", "give -d DATASET, or -i MASKS -o CLEAN")
        options = stage.Options(name, method=method, overwrite=overwrite, workers=common.workers)
        logger.info("%s", stage.run(options, workspace))
        return DONE
    if input is None or output is None:
        raise SpecError("only one of --input and --output is named", "give both")
    folder = model if model is not None or name is None else workspace.model(name, method)
    steps = tuple(_component(text) for text in step)
    cleaned = stage.clean(stage.CleanOptions(input, output, model=folder, steps=steps, workers=common.workers))
    changed = sum(1 for voxels in cleaned.changed.values() if voxels)
    logger.info("%d masks written, %d of them changed: %s", len(cleaned.changed), changed, output)
    if cleaned.failed:
        return QUARANTINED if cleaned.changed else USER_ERROR
    return DONE


@app.command
def submit(
    dataset: Dataset,
    *,
    input: Input,  # noqa: A002 - the flag's name
    output: OptionalOutput = None,
    format: str | None = None,  # noqa: A002 - the flag's name
    option: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    images: Path | None = None,
    join: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    check: Flag = False,
    common: Common = COMMON,
    **own: OwnOptions,
) -> int:
    """Pack masks of the test cases as their challenge wants them, or check an archive.

    Args:
        dataset: Whose test cases are answered.
        input: Folder of masks; with --check the archive or folder to judge.
        output: Archive to write; manifest.json lies beside it.
        format: Submission format, such as msd, lits, brats2023, kits19 [default: the converter's, else msd].
        option: Option of the format, key=value, the same as a flag of its own [default: as converted].
        images: Folder of the test images [default: imagesTs of the data set].
        join: Archive of other tasks to take over; may be repeated.
        check: Only judge, one line per file.
        own: Option of the format, e.g. `--task PED`, `--subset true`.
    """
    workspace = common.open("submit")
    from autoseg.stages import submit as stage

    options = stage.Options(
        input,
        workspace.resolve_dataset(dataset),
        output=output,
        format=format,
        settings=own_options(own, option, command="submit"),
        images=images,
        join=join,
        check=check,
    )
    logger.info("%s", stage.run(options, workspace))
    return DONE


def _component(text: str) -> Component:
    """`drop_small volume_mm3=50 labels=[1,2]`: a name and options, values as JSON."""
    from autoseg.specs.document import Component

    name, *pairs = text.split()
    return Component(name=name, options={key: _json(value) for key, value in map(_key_value, pairs)})


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise SpecError(f"'{text}' is no option", "write key=value")
    return key, value
