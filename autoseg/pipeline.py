"""The ten stages in order, and the run of several of them: start reading here."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace, variant_of
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.plan import Plan
from autoseg.specs.run import Run
from autoseg.specs.splits import Splits
from autoseg.training.agreement import FINAL, RUN
from autoseg.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageInfo:
    """One stage.

    Attributes:
        name: Verb of the command line and file in `autoseg/stages/`.
        reads: What it needs.
        writes: What it leaves under the workspace.
    """

    name: str
    reads: str
    writes: str


STAGES = (
    StageInfo("convert", "a challenge's own folder", "raw/DatasetNNN_Name/ with dataset.json"),
    StageInfo("fingerprint", "raw/", "prepared/<dataset>/fingerprint.json"),
    StageInfo("plan", "fingerprint, method, device", "prepared/<dataset>/<method>/plan.json, splits.json"),
    StageInfo("preprocess", "raw/, plan", "prepared/<dataset>/cases_<digest>/"),
    StageInfo("train", "cases, plan, method", "runs/<dataset>/<method>/<configuration>/fold_<k>/"),
    StageInfo("predict", "images or a fold's held-out cases, weights", "masks, optional probabilities"),
    StageInfo("ensemble", "runs and their held-out predictions", "models/<dataset>/<method>/ with model.json"),
    StageInfo("postprocess", "held-out predictions", "postprocess.json in the model folder"),
    StageInfo("evaluate", "masks, references, protocol", "report.json, report.csv"),
    StageInfo("submit", "masks, submission format", "archive, manifest.json"),
)


@dataclass(frozen=True)
class Options(TrainingSettings):
    """What to run from raw data to a model folder.

    Attributes:
        dataset: Folder name of the data set.
        configurations: Only these; empty means every planned one.
        folds: Numbers or `all`; empty means every fold.
        num_folds: Of the cross-validation; None keeps what is planned, or takes 5.
        workers: Processes for work on many cases; None is as many as pay.
        skip_bad_cases: Leave out and name training cases that cannot be used, instead of stopping.
    """

    dataset: str
    configurations: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    num_folds: int | None = None
    workers: int | None = None
    skip_bad_cases: bool = False


@dataclass(frozen=True)
class Prepared:
    """What training starts from.

    Attributes:
        planned: The plan.
        configurations: Of it, to train.
        quarantined: Case id -> why it was left out.
    """

    planned: Plan
    configurations: tuple[str, ...]
    quarantined: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What a run of the pipeline left.

    Attributes:
        model: The model folder.
        quarantined: Case id -> why it was left out.
    """

    model: Path
    quarantined: dict[str, str]


def plan_and_train(options: Options, workspace: Workspace) -> Outcome:
    """Fingerprint, plan, preprocess, train, predict and score the held-out cases, choose, pack, clean.

    Every stage skips what is up to date, so that the same call goes on after an interruption.

    Raises:
        DatasetError: A case cannot be used, and `skip_bad_cases` is off or the case was usable a moment ago.
    """
    from autoseg.stages import ensemble, postprocess

    prepared = prepare(options, workspace)
    for configuration in prepared.configurations:
        train_folds(options, prepared.planned, configuration, workspace)
    variant = variant_of(prepared.planned.method, options.train_fraction)
    chosen = ensemble.Options(
        options.dataset, method=variant, configurations=prepared.configurations, folds=options.folds
    )
    model = ensemble.run(chosen, workspace)
    postprocess.run(postprocess.Options(options.dataset, method=variant, workers=options.workers), workspace)
    return Outcome(model, prepared.quarantined)


def prepare(options: Options, workspace: Workspace) -> Prepared:
    """Fingerprint, plan and preprocess: everything before training.

    Raises:
        DatasetError: A case cannot be used, and `skip_bad_cases` is off or the case was usable a moment ago.
    """
    from autoseg.devices.select import select_device
    from autoseg.planning.methods import load_method
    from autoseg.stages import fingerprint, plan, preprocess

    # Mistyped settings are told before any case is read.
    load_method(options.method, options.overrides)
    select_device(options.device)
    dataset = options.dataset
    found = fingerprint.run(
        fingerprint.Options(dataset, workers=options.workers, skip_bad_cases=options.skip_bad_cases), workspace
    )
    planned = plan.run(
        plan.Options(
            dataset,
            method=options.method,
            configurations=options.configurations or None,
            overrides=options.overrides,
            device=options.device,
            replan=options.replan,
            num_folds=options.num_folds,
        ),
        workspace,
    )
    configurations = options.configurations or _affordable(planned, options.folds)
    stages = tuple(dict.fromkeys(stage for name in configurations for stage in planned.stages(name)))
    prepared = preprocess.run(
        preprocess.Options(dataset, method=planned.method, configurations=stages, workers=options.workers), workspace
    )
    check_prepared(dataset, prepared.quarantined, workspace)
    return Prepared(planned, configurations, {**found.quarantined, **prepared.quarantined})


def train_folds(
    options: Options, planned: Plan, configuration: str, workspace: Workspace, *, folds: tuple[str, ...] = ()
) -> tuple[Path, ...]:
    """Train folds of one configuration and score their held-out cases; a cascade after all folds of its previous stage.

    Args:
        options: What is wanted.
        planned: The plan.
        configuration: Name in the plan.
        workspace: Where everything is.
        folds: To train; empty takes those of the options, or every one.

    Returns:
        Folders of the runs; each holds `validation/report.json`.
    """
    from autoseg.stages import train

    every = _all_folds(workspace, planned)
    previous = planned.configuration(configuration).previous_stage
    if previous is not None:
        # Its training cases need masks of a network that has not seen them: each is held out by another fold.
        train_folds(options, planned, previous, workspace, folds=every)
    reports = []
    for fold in folds or options.folds or every:
        chosen = train.Options(options.dataset, configuration=configuration, fold=fold, **options.settings())
        train.run(chosen, workspace)
        reports.append(score_held_out(options, planned, configuration=configuration, fold=fold, workspace=workspace))
    return tuple(report.parents[1] for report in reports)


def check_prepared(dataset: str, quarantined: dict[str, str], workspace: Workspace) -> None:
    """Refuse preprocessing that left out cases which the fingerprint holds, and the folds with it.

    Raises:
        DatasetError: Names the cases and why.
    """
    if not quarantined:
        return
    known = Fingerprint.load(workspace.fingerprint(dataset)).quarantined
    lost = {case_id: reason for case_id, reason in quarantined.items() if case_id not in known}
    if lost:
        listed = "; ".join(f"{case_id}: {reason}" for case_id, reason in sorted(lost.items()))
        raise DatasetError(f"{dataset}: {len(lost)} cases could not be prepared; {listed}", "then run it again")


def score_held_out(options: Options, planned: Plan, *, configuration: str, fold: str, workspace: Workspace) -> Path:
    """Predict the held-out cases of a trained fold on their own grids and score them.

    Returns:
        The report, `validation/report.json` in the run's folder.
    """
    from autoseg.stages import evaluate, predict

    variant = variant_of(planned.method, options.train_fraction)
    folder = workspace.run(options.dataset, variant, configuration, fold) / "validation"
    held_out = Run.load(folder.parent / RUN).val_cases
    report, weights = folder / "report.json", folder.parent / FINAL
    wanted = options.configurations or tuple(planned.configurations)
    several = len(wanted) > 1 and configuration in wanted
    # Averages of several configurations are scored by their probabilities.
    kept = [folder / "probabilities" / case / f"{configuration}.b2nd" for case in held_out if several]
    if all(_is_newer(path, weights) for path in (report, *kept)):
        return report
    predict.run_held_out(
        predict.HeldOutOptions(
            dataset=options.dataset,
            method=variant,
            configuration=configuration,
            fold=fold,
            save_probabilities=several,
            device=options.device,
            threads=options.threads,
            workers=options.workers,
        ),
        workspace,
    )
    evaluate.run(
        evaluate.Options(
            predictions=folder,
            references=workspace.raw_dataset(options.dataset) / "labelsTr",
            output=report,
            dataset=options.dataset,
            cases=held_out,
            figures=True,
            workers=options.workers,
        ),
        workspace,
    )
    return report


def _is_newer(path: Path, than: Path) -> bool:
    return path.is_file() and than.is_file() and path.stat().st_mtime_ns >= than.stat().st_mtime_ns


def _affordable(planned: Plan, folds: tuple[str, ...]) -> tuple[str, ...]:
    """Every configuration; where only some folds are wanted, without cascades, which need all of another one's."""
    if not folds:
        return tuple(planned.configurations)
    for name, one in planned.configurations.items():
        if one.previous_stage is not None:
            logger.info("%s is left out, as it needs all folds of %s; name it by -c", name, one.previous_stage)
    return tuple(name for name, one in planned.configurations.items() if one.previous_stage is None)


def _all_folds(workspace: Workspace, planned: Plan) -> tuple[str, ...]:
    splits = Splits.load(workspace.splits(planned.dataset, planned.method))
    return tuple(str(index) for index in range(len(splits.folds)))
