"""Commands that learn: train, and the whole pipeline."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from cyclopts import Group, Parameter

from autoseg.cli.app import (
    COMMON,
    DONE,
    QUARANTINED,
    Common,
    Configurations,
    Dataset,
    Flag,
    Folds,
    Overrides,
    app,
    logger,
)
from autoseg.core.durations import parse_duration_s


@Parameter(name="*", group=Group("Training", sort_key=5))
@dataclass(frozen=True)
class Training:
    """How to train.

    Attributes:
        method: Name or TOML file.
        overrides: Setting section.key=value, may be repeated.
        epochs: Epochs; a larger number extends a finished run [default: the method's].
        iterations_per_epoch: Updates per epoch [default: the method's].
        time_budget: Fill this time per fold instead, e.g. 20m.
        device: auto, cpu, cuda, cuda:1 or mps.
        seed: Of every random draw.
        train_fraction: Learn from this share of each fold's training cases, e.g. 0.25; runs and model then lie under
            METHOD_fraction_0.25.
        threads: CPU threads.
        replan: Replace a plan or a run made with other settings.
    """

    method: str = "autoseg"
    overrides: Overrides = ()
    epochs: int | None = None
    iterations_per_epoch: int | None = None
    time_budget: str | None = None
    device: str = "auto"
    seed: int = 0
    train_fraction: float = 1.0
    threads: int | None = None
    replan: Flag = False

    def settings(self) -> dict[str, Any]:
        """Keywords of the options of stage and pipeline."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        budget = values.pop("time_budget")
        return {**values, "time_budget_s": None if budget is None else parse_duration_s(budget)}


TRAINING = Training()


@app.command
def train(
    dataset: Dataset,
    *,
    configurations: Configurations = ("3d_fullres",),
    folds: Folds = ("0",),
    training: Training = TRAINING,
    common: Common = COMMON,
) -> int:
    """Train folds of planned and preprocessed configurations; under torchrun with several processes per fold.

    Args:
        dataset: Id, name or folder.
        configurations: What to train.
        folds: Numbers, or `all` for every case at once.
    """
    workspace = common.open("train")
    from autoseg.stages import train as stage
    from autoseg.training.distributed import leave

    name = workspace.resolve_dataset(dataset)
    for configuration in configurations:
        for fold in folds:
            options = stage.Options(name, configuration=configuration, fold=fold, **training.settings())
            stage.run(options, workspace)
    leave()
    return DONE


@app.command
def plan_and_train(
    dataset: Dataset,
    *,
    configurations: Configurations = (),
    folds: Folds = (),
    num_folds: int | None = None,
    skip_bad_cases: Flag = False,
    training: Training = TRAINING,
    common: Common = COMMON,
) -> int:
    """Fingerprint, plan, preprocess, train, score the held-out cases and write one model folder.

    A rerun skips what is up to date and goes on with what is not.

    Args:
        dataset: Id, name or folder.
        configurations: Only these of 2d, 3d_fullres, 3d_lowres, 3d_cascade_fullres.
        folds: Numbers [default: every one], or `all` for every case at once.
        num_folds: Folds of the cross-validation [default: as planned before, else 5].
        skip_bad_cases: Leave out training cases that cannot be used, instead of stopping.
    """
    workspace = common.open("plan_and_train")
    from autoseg import pipeline

    options = pipeline.Options(
        workspace.resolve_dataset(dataset),
        configurations=configurations,
        folds=folds,
        num_folds=num_folds,
        workers=common.workers,
        memory_limit=common.memory_limit_bytes,
        skip_bad_cases=skip_bad_cases,
        **training.settings(),
    )
    outcome = pipeline.plan_and_train(options, workspace)
    logger.info("model: %s", outcome.model)
    return QUARANTINED if outcome.quarantined else DONE


@app.command
def demo(
    *,
    variant: Literal["ct", "brain"] = "ct",
    cases: int = 24,
    test_cases: int = 6,
    time_budget: str = "3m",
    size: str | None = None,
    device: str = "auto",
    seed: int = 0,
    common: Common = COMMON,
) -> int:
    """Run everything on synthetic scans: make, train, predict, score, draw. Takes a few minutes.

    Args:
        variant: Abdominal CT with liver and tumours, or four-channel brain MR.
        cases: Training cases.
        test_cases: Cases that are only predicted.
        time_budget: Training time.
        size: Typical voxels of a scan, e.g. 32x48x48 [default: 64x96x96, brain 64x96x80].
        device: auto, cpu, cuda, cuda:1 or mps.
        seed: Of data and training.
    """
    if common.workspace is None:
        common = replace(common, workspace=Path("autoseg_demo"))
    workspace = common.open("demo")
    from autoseg.commands import demo as command

    options = command.Options(
        variant=variant,
        cases=cases,
        test_cases=test_cases,
        time_budget_s=parse_duration_s(time_budget),
        size=size,
        device=device,
        seed=seed,
        workers=common.workers,
    )
    command.run(options, workspace)
    return DONE
