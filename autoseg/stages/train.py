"""Train one fold of one configuration: cases, plan, method -> runs/<dataset>/<method>/<configuration>/fold_<k>/."""

from __future__ import annotations

import logging
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.core.errors import CheckpointError, DatasetError
from autoseg.core.labels import LabelSpace
from autoseg.core.seeds import derive_seed
from autoseg.core.workspace import Workspace
from autoseg.io.case_store import StoredCase
from autoseg.planning.methods import load_method
from autoseg.preprocessing.folder import cases_digest
from autoseg.specs.method import Method
from autoseg.specs.plan import Configuration, Plan
from autoseg.specs.run import Run, Schedule
from autoseg.specs.splits import Splits

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)
RECORDED_PACKAGES = ("autoseg", "torch", "numpy", "scipy", "blosc2")


@dataclass(frozen=True)
class Options:
    """What to train.

    Attributes:
        dataset: Folder name of the data set.
        configuration: Name in the plan.
        fold: Number, or `all`.
        method: Name or file.
        overrides: `section.key=value` settings.
        epochs: Epochs; None asks the method.
        iterations_per_epoch: Updates per epoch; None asks the method.
        time_budget_s: Fill this time instead of a number of epochs.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        seed: Of every draw.
        threads: CPU threads; None leaves torch's choice.
        replan: Throw away a run with other settings.
    """

    dataset: str
    configuration: str = "3d_fullres"
    fold: str = "0"
    method: str = "autoseg"
    overrides: tuple[str, ...] = ()
    epochs: int | None = None
    iterations_per_epoch: int | None = None
    time_budget_s: float | None = None
    device: str = "auto"
    seed: int = 0
    threads: int | None = None
    replan: bool = False


def run(options: Options, workspace: Workspace) -> Path:
    """Train, or go on, or do nothing when the run is complete.

    Returns:
        Folder of the run.

    Raises:
        CheckpointError: The folder holds a run with other settings and `replan` is off.
        Interrupted: Stopped by a signal; the state is saved.
    """
    method = load_method(options.method, options.overrides)
    plan = Plan.load(workspace.plan(options.dataset, method.name))
    fold = Splits.load(workspace.splits(options.dataset, method.name)).fold(options.fold)
    configuration = plan.configuration(options.configuration)
    folder = workspace.run(options.dataset, method.name, configuration.name, options.fold)
    stored = workspace.cases(options.dataset, cases_digest(configuration.preprocessing))
    train_cases, val_cases = _open(stored, fold.train), _open(stored, fold.val)

    from autoseg.devices.memory import keep_freed_memory
    from autoseg.devices.precision import choose_precision
    from autoseg.devices.select import select_device

    device = select_device(options.device)
    _limit_threads(options.threads)
    keep_freed_memory()
    precision = choose_precision(device, method.train.precision)
    draft = _draft(options, plan=plan, method=method, device=str(device), precision=precision)
    draft = draft.model_copy(update={"train_cases": fold.train, "val_cases": fold.val})
    job = _Job(draft, configuration, train_cases, val_cases, device)
    final = _agree_with_disk(folder, options, job)
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
    train_cases: tuple[StoredCase, ...]
    val_cases: tuple[StoredCase, ...]
    device: torch.device


def _draft(options: Options, *, plan: Plan, method: Method, device: str, precision: str) -> Run:
    versions = {name: version(name) for name in RECORDED_PACKAGES} | {"python": platform.python_version()}
    return Run(
        dataset=options.dataset,
        fold=options.fold,
        seed=options.seed,
        device=device,
        precision=precision,
        plan=plan.digest(),
        configuration=plan.configuration(options.configuration),
        method=method,
        schedule=Schedule(epochs=1, iterations_per_epoch=1, validation_iterations=1),
        channels=plan.channels,
        labels=plan.labels,
        regions_class_order=plan.regions_class_order,
        mirror_axes=plan.mirror_axes,
        train_cases=(),
        val_cases=(),
        versions=versions,
    )


def _agree_with_disk(folder: Path, options: Options, job: _Job) -> Run | None:
    """The run to train, agreed with what the folder holds; None when that is complete."""
    from autoseg.training.trainer import CHECKPOINT, FINAL, settings_digest

    path = folder / "run.json"
    if path.is_file() and not options.replan:
        found = Run.load(path)
        if settings_digest(found) != settings_digest(job.draft):
            changed = [name for name in ("seed", "precision", "plan", "configuration", "method", "labels", "train_cases")
                       if getattr(found, name) != getattr(job.draft, name)]
            raise CheckpointError(
                f"{folder} holds a run with another {', '.join(changed)}", "add --replan to train it anew"
            )
        schedule = _schedule(options, job, found.schedule)
        if schedule.updates <= found.schedule.updates:
            return None if (folder / FINAL).is_file() else found
        if schedule.iterations_per_epoch != found.schedule.iterations_per_epoch:
            raise CheckpointError(f"{folder} has other epochs", "extend it with the same --iterations-per-epoch")
        (folder / FINAL).unlink(missing_ok=True)
        logger.info("extending %d epochs to %d", found.schedule.epochs, schedule.epochs)
    else:
        if options.replan:
            shutil.rmtree(folder, ignore_errors=True)
        schedule = _schedule(options, job, None)
    final = job.draft.model_copy(update={"schedule": schedule})
    if not (folder / CHECKPOINT).is_file():
        logger.info("%d epochs of %d updates", schedule.epochs, schedule.iterations_per_epoch)
    final.save(path)
    return final


def _schedule(options: Options, job: _Job, found: Schedule | None) -> Schedule:
    from autoseg.training.assembly import assemble, measure_step_s
    from autoseg.training.schedule import schedule_from_budget, schedule_from_epochs

    train = job.draft.method.train
    if options.time_budget_s is None:
        return schedule_from_epochs(
            train, epochs=options.epochs, iterations_per_epoch=options.iterations_per_epoch
        )
    if found is not None and found.time_budget_s is not None and options.time_budget_s <= found.time_budget_s:
        return found
    if found is not None and found.seconds_per_step is not None:
        seconds = found.seconds_per_step
    else:
        parts = assemble(_recipe(job), train_cases=job.train_cases, val_cases=job.val_cases)
        seconds = measure_step_s(parts, clip=train.optimizer.gradient_clip)
        logger.info("one update takes %.2f s", seconds)
    iterations = found.iterations_per_epoch if found else options.iterations_per_epoch
    return schedule_from_budget(
        seconds=options.time_budget_s, seconds_per_step=seconds, iterations_per_epoch=iterations
    )


def _recipe(job: _Job):  # type: ignore[no-untyped-def] - Recipe imports torch
    from autoseg.devices.precision import torch_dtype
    from autoseg.training.assembly import Recipe

    draft = job.draft
    return Recipe(
        configuration=job.configuration,
        train=draft.method.train,
        space=LabelSpace.parse(draft.labels, draft.regions_class_order),
        channels=len(draft.channels),
        mirror_axes=draft.mirror_axes,
        seed=derive_seed(draft.seed, draft.fold),
        device=job.device,
        precision=torch_dtype(draft.precision),
    )


def _fit(final: Run, folder: Path, job: _Job) -> None:
    from autoseg.reporting.curves import draw_curves
    from autoseg.reporting.training_view import TrainingView
    from autoseg.training.assembly import assemble
    from autoseg.training.trainer import LOG, Trainer

    title = f"{job.configuration.name} fold {final.fold}"
    parts = assemble(_recipe(job), train_cases=job.train_cases, val_cases=job.val_cases)
    try:
        with TrainingView(title, epochs=final.schedule.epochs) as view:
            Trainer(final, folder, parts, view).fit()
    finally:
        draw_curves(folder / LOG, folder / "curves.png", title=f"{final.dataset} {title}")


def _open(folder: Path, names: tuple[str, ...]) -> tuple[StoredCase, ...]:
    missing = [name for name in names if not StoredCase.exists(folder, name)]
    if missing:
        raise DatasetError(
            f"{len(missing)} cases are not preprocessed ({', '.join(missing[:3])}, ...)", "run autoseg preprocess first"
        )
    return tuple(StoredCase(folder, name) for name in names)


def _limit_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
