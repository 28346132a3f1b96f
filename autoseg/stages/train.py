"""Train one fold of one configuration: cases, plan, method -> runs/<dataset>/<method>/<configuration>/fold_<k>/."""

from __future__ import annotations

import functools
import logging
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.core.labels import LabelSpace
from autoseg.core.seeds import derive_seed
from autoseg.core.workspace import Workspace, variant_of
from autoseg.inference.next_stage import bring_previous_labels, labels_digest
from autoseg.planning.methods import load_method
from autoseg.planning.splits import share_of_training
from autoseg.preprocessing.folder import cases_digest
from autoseg.specs.method import Method
from autoseg.specs.plan import Configuration, Plan
from autoseg.specs.run import Run, Schedule
from autoseg.specs.splits import Fold, Splits
from autoseg.training.agreement import LOG, agree
from autoseg.training.readers import open_cases
from autoseg.training.settings import TrainingSettings

if TYPE_CHECKING:
    import torch

    from autoseg.training.assembly import Recipe
    from autoseg.training.distributed import Share
    from autoseg.training.loader import CaseReader
    from autoseg.training.trainer import Validate

logger = logging.getLogger(__name__)
RECORDED_PACKAGES = ("autoseg", "torch", "numpy", "scipy", "blosc2")


@dataclass(frozen=True)
class Options(TrainingSettings):
    """What to train.

    Attributes:
        dataset: Folder name of the data set.
        configuration: Name in the plan.
        fold: Number, or `all`.
    """

    dataset: str
    configuration: str = "3d_fullres"
    fold: str = "0"


def run(options: Options, workspace: Workspace) -> Path:
    """Train, or go on, or do nothing when the run is complete.

    Returns:
        Folder of the run.

    Raises:
        BudgetError: The GPU's memory is full, or the time is too short.
        CheckpointError: The folder holds a run with other settings and `replan` is off.
        DatasetError: Cases are not preprocessed, or the previous stage of a cascade lacks folds.
        SpecError: No such configuration or fold.
        Interrupted: Stopped by a signal; the state is saved.
    """
    method = load_method(options.method, options.overrides)
    plan = Plan.load(workspace.plan(options.dataset, method.name))
    splits = Splits.load(workspace.splits(options.dataset, method.name))
    fold = share_of_training(splits.fold(options.fold), options.train_fraction, seed=options.seed)
    configuration = plan.configuration(options.configuration)
    variant = variant_of(method.name, options.train_fraction)
    folder = workspace.run(options.dataset, variant, configuration.name, options.fold)
    stored = workspace.cases(options.dataset, cases_digest(configuration.preprocessing))

    from autoseg.devices.memory import keep_freed_memory
    from autoseg.devices.precision import choose_precision
    from autoseg.devices.select import limit_threads, select_device
    from autoseg.training.distributed import join

    share, device = join(select_device(options.device))
    bring = functools.partial(bring_previous_labels, folder, configuration, stored=stored, splits=splits, fold=fold)
    previous = share.decide(lambda: bring(raw=workspace.raw_dataset(options.dataset)))
    train_cases = open_cases(stored, fold.train, configuration, previous=previous)
    val_cases = open_cases(stored, fold.val, configuration, previous=previous)
    limit_threads(options.threads)
    keep_freed_memory(frugal=method.train.accumulate > 1)
    precision = choose_precision(device, method.train.precision)
    draft = _draft(options, plan=plan, method=method, fold=fold, device=str(device), precision=precision)
    draft = draft.model_copy(update={"previous_labels": labels_digest(previous, (*fold.train, *fold.val))})
    job = _Job(draft, configuration, train_cases, val_cases, device, share)
    length = functools.partial(_schedule, options, job)
    final = share.decide(lambda: agree(folder, draft, length, replan=options.replan))
    if final is None:
        logger.info("%s fold %s is complete", configuration.name, options.fold)
        return folder
    _fit(final, folder, job)
    return folder


@dataclass(frozen=True)
class _Job:
    """A run without its schedule, and what it needs in memory."""

    draft: Run
    configuration: Configuration
    train_cases: tuple[CaseReader, ...]
    val_cases: tuple[CaseReader, ...]
    device: torch.device
    share: Share


def _draft(options: Options, *, plan: Plan, method: Method, fold: Fold, device: str, precision: str) -> Run:
    configuration = plan.configuration(options.configuration)
    return Run(
        dataset=options.dataset,
        fold=options.fold,
        seed=options.seed,
        train_fraction=options.train_fraction,
        device=device,
        precision=precision,
        plan=plan.digest(),
        configuration=configuration,
        method=method,
        schedule=Schedule(epochs=1, iterations_per_epoch=1, validation_iterations=1),
        channels=plan.channels,
        labels=configuration.labels or plan.labels,
        regions_class_order=(plan if configuration.labels is None else configuration).regions_class_order,
        mirror_axes=plan.mirror_axes,
        laterality=plan.laterality,
        train_cases=fold.train,
        val_cases=fold.val,
        versions={name: version(name) for name in RECORDED_PACKAGES} | {"python": platform.python_version()},
    )


def _schedule(options: Options, job: _Job, found: Schedule | None) -> Schedule:
    """Length asked for; that of the run on disk where nothing is said, or where its time budget is not exceeded."""
    if found is not None and (options.epochs, options.iterations_per_epoch, options.time_budget_s) == (None,) * 3:
        return found
    from autoseg.training.passes import in_passes
    from autoseg.training.schedule import StepTime, schedule_from_budget, schedule_from_epochs
    from autoseg.training.timing import estimate_step

    train, cases = job.draft.method.train, {"train_cases": job.train_cases, "val_cases": job.val_cases}
    if options.time_budget_s is None:
        train = in_passes(_recipe(job), **cases)
        return schedule_from_epochs(train, epochs=options.epochs, iterations_per_epoch=options.iterations_per_epoch)
    if found is not None and found.time_budget_s is not None and options.time_budget_s <= found.time_budget_s:
        return found
    known = None if found is None else found.seconds_per_step
    step = StepTime(known, known) if known else estimate_step(_recipe(job), **cases)
    epoch = found.iterations_per_epoch if found else options.iterations_per_epoch
    return schedule_from_budget(seconds=options.time_budget_s, step=step, iterations_per_epoch=epoch)


def _recipe(job: _Job) -> Recipe:
    from autoseg.devices.precision import torch_dtype
    from autoseg.training.assembly import Recipe

    draft = job.draft
    return Recipe(
        configuration=job.configuration,
        train=draft.method.train,
        space=LabelSpace.parse(draft.labels, draft.regions_class_order),
        channels=len(draft.channels),
        mirror_axes=draft.mirror_axes,
        laterality=draft.laterality,
        seed=derive_seed(draft.seed, draft.fold),
        device=job.device,
        precision=torch_dtype(draft.precision),
        share=job.share,
    )


def _fit(final: Run, folder: Path, job: _Job) -> None:
    from autoseg.devices.memory import forget_peak_memory
    from autoseg.reporting.curves import draw_curves
    from autoseg.reporting.training_view import TrainingView
    from autoseg.training.assembly import assemble
    from autoseg.training.trainer import Trainer

    title = f"{job.configuration.name} fold {final.fold}"
    forget_peak_memory(job.device)
    parts = assemble(_recipe(job), train_cases=job.train_cases, val_cases=job.val_cases)
    try:
        with TrainingView(title, shown=job.share.is_first) as view:
            Trainer(final, folder, parts, view, validate=_validate(final, job)).fit()
    finally:
        if job.share.is_first:
            draw_curves(folder / LOG, folder / "curves.png", title=f"{final.dataset} {title}")


def _validate(final: Run, job: _Job) -> Validate | None:
    if final.method.train.validation == "patches":
        return None
    from autoseg.inference.volumes import VolumeValidation

    return VolumeValidation(final, job.share.own(job.val_cases), device=job.device, gather=job.share.gather_objects)
