"""Commands that prepare data: convert, check, fingerprint, plan, preprocess."""

from __future__ import annotations

from collections.abc import Sequence
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
    Dataset,
    Flag,
    Overrides,
    OwnOptions,
    app,
    logger,
    own_options,
)


@app.command
def convert(
    name: str,
    /,
    source: Path | None = None,
    *,
    id: int | None = None,  # noqa: A002 - the flag's name
    dataset_name: Annotated[str | None, Parameter(name="--name")] = None,
    option: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    dry_run: Flag = False,
    common: Common = COMMON,
    **settings: OwnOptions,
) -> int:
    """Turn a challenge's own folder into a raw data set.

    Args:
        name: Converter, see `autoseg info --datasets`; `auto`, or the folder alone, lets the folder decide.
        source: The folder as downloaded; the phantom needs none.
        id: Number of the data set.
        dataset_name: Name of the data set.
        option: Converter option key=value, the same as a flag of its own; may be repeated.
        dry_run: Only list what would be written.
        settings: Option of the converter, e.g. `--structures liver,spleen`, `--fix-spacing table`, `--series largest`.
    """
    workspace = common.open("convert")
    from autoseg.stages import convert as stage

    options = stage.Options(
        name,
        source=source,
        id=id,
        dataset_name=dataset_name,
        options=own_options(settings, option, command="convert"),
        workers=common.workers,
        dry_run=dry_run,
    )
    logger.info("raw data: %s", stage.run(options, workspace))
    return DONE


@app.command
def check(dataset: Dataset, *, common: Common = COMMON) -> int:
    """Read a raw data set once and print what is wrong, where, and the cure.

    Args:
        dataset: Id, name or folder.
    """
    workspace = common.open("check")
    from autoseg.commands import check as command

    findings = command.run(command.Options(workspace.resolve_dataset(dataset), workers=common.workers), workspace)
    return USER_ERROR if any(finding.severity == "fail" for finding in findings) else DONE


@app.command
def fingerprint(dataset: Dataset, *, clean: Flag = False, skip_bad_cases: Flag = False, common: Common = COMMON) -> int:
    """Read every case once and keep what planning needs.

    Args:
        dataset: Id, name or folder.
        clean: Forget what is known.
        skip_bad_cases: Leave out cases that cannot be used, instead of stopping.
    """
    workspace = common.open("fingerprint")
    from autoseg.stages import fingerprint as stage

    options = stage.Options(
        workspace.resolve_dataset(dataset),
        workers=common.workers,
        clean=clean,
        skip_bad_cases=skip_bad_cases,
        memory_limit=common.memory_limit_bytes,
    )
    return QUARANTINED if stage.run(options, workspace).quarantined else DONE


@app.command
def plan(
    dataset: Dataset,
    *,
    method: str = "autoseg",
    configurations: Configurations = (),
    overrides: Overrides = (),
    device: str = "auto",
    replan: Flag = False,
    num_folds: int | None = None,
    figures: Flag = False,
    common: Common = COMMON,
) -> int:
    """Decide spacing, patch, batch and network of every configuration, and print why.

    Args:
        dataset: Id, name or folder.
        method: Name or TOML file.
        configurations: Only these.
        overrides: Setting section.key=value, may be repeated.
        device: Device to plan for: auto, cpu, cuda, cuda:1 or mps.
        replan: Replace a plan made with other settings.
        num_folds: Folds of the cross-validation [default: as planned before, else 5].
        figures: Also draw the classes of every split, and the mean of all cases with the box that holds them.
    """
    workspace = common.open("plan")
    from rich.console import Console

    from autoseg.reporting.plan_table import plan_view
    from autoseg.specs.fingerprint import Fingerprint
    from autoseg.specs.splits import Splits
    from autoseg.stages import plan as stage

    name = workspace.resolve_dataset(dataset)
    options = stage.Options(
        name,
        method=method,
        configurations=configurations or None,
        overrides=overrides,
        device=device,
        replan=replan,
        num_folds=num_folds,
    )
    made = stage.run(options, workspace)
    fingerprint = Fingerprint.load(workspace.fingerprint(name))
    splits = Splits.load(workspace.splits(name, made.method))
    Console().print(plan_view(made, fingerprint, splits))
    if figures:
        from autoseg.commands import plan_figures

        plan_figures.run(plan_figures.Options(name, method=made.method, workers=common.workers), workspace)
    return DONE


@app.command
def preprocess(
    dataset: Dataset,
    *,
    method: str = "autoseg",
    configurations: Configurations = (),
    overrides: Overrides = (),
    common: Common = COMMON,
) -> int:
    """Orient, crop, normalise and resample every case.

    Args:
        dataset: Id, name or folder.
        method: Name or TOML file.
        configurations: Only these.
        overrides: Setting section.key=value, may be repeated.
    """
    workspace = common.open("preprocess")
    from autoseg.pipeline import check_prepared
    from autoseg.stages import preprocess as stage

    options = stage.Options(
        workspace.resolve_dataset(dataset),
        method=_method_name(method, overrides),
        configurations=configurations,
        workers=common.workers,
        memory_limit=common.memory_limit_bytes,
    )
    quarantined = stage.run(options, workspace).quarantined
    check_prepared(options.dataset, quarantined, workspace)
    return QUARANTINED if quarantined else DONE


def _method_name(method: str, overrides: Sequence[str]) -> str:
    from autoseg.planning.methods import load_method

    return load_method(method, overrides).name
