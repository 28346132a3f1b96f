"""The ten stages in order, and the run of several of them: start reading here."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelSpace
from autoseg.core.workspace import Workspace, variant_of
from autoseg.specs.dataset import Dataset
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.plan import Configuration, Plan, Region
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
        memory_limit: Bytes that all but training may hold; None keeps to what is free, and refuses nothing.
    """

    dataset: str
    configurations: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    num_folds: int | None = None
    workers: int | None = None
    skip_bad_cases: bool = False
    memory_limit: int | None = None


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
        fingerprint.Options(
            dataset,
            workers=options.workers,
            skip_bad_cases=options.skip_bad_cases,
            memory_limit=options.memory_limit,
        ),
        workspace,
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
        preprocess.Options(
            dataset,
            method=planned.method,
            configurations=stages,
            workers=options.workers,
            memory_limit=options.memory_limit,
        ),
        workspace,
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
    wanted = folds or options.folds or every
    previous, region = planned.configuration(configuration).previous_stage, planned.configuration(configuration).region
    before = options
    if region is not None and previous is not None:
        before, options = share_of_time(options, first=len(every), second=len(wanted))
        variant = variant_of(planned.method, options.train_fraction)
        finals = [workspace.run(options.dataset, variant, previous, fold) / FINAL for fold in every]
        if not options.replan and all(path.is_file() for path in finals):
            # More folds of the second stage would else mean a longer first one, and all second ones anew.
            before = replace(before, time_budget_s=None, epochs=None, iterations_per_epoch=None)
    if previous is not None:
        # Its training cases need masks of a network that has not seen them: each is held out by another fold.
        train_folds(before, planned, previous, workspace, folds=every)
    elif region is not None:
        _find_organs(options, planned, region, workspace)
    reports = []
    for fold in wanted:
        chosen = train.Options(options.dataset, configuration=configuration, fold=fold, **options.settings())
        train.run(chosen, workspace)
        reports.append(score_held_out(options, planned, configuration=configuration, fold=fold, workspace=workspace))
    return tuple(report.parents[1] for report in reports)


def share_of_time(options: Options, *, first: int, second: int) -> tuple[Options, Options]:
    """Options of both stages of a region-of-interest cascade, so that both together take the time that was given.

    The first takes `[plan.region] time_share` of all time, or of the epochs per fold; where neither is given, both
    have the method's.

    Args:
        options: What is wanted; the time is per fold of the second stage.
        first: Folds of the first stage.
        second: Folds of the second stage.
    """
    from autoseg.planning.methods import load_method

    method = load_method(options.method, options.overrides)
    share = 0.0 if method.plan.region is None else method.plan.region.time_share
    budget = options.time_budget_s
    if budget is None:
        epochs = None if options.epochs is None else max(1, round(share * options.epochs))
        return replace(options, epochs=epochs), options
    each = budget * share * second / first
    logger.info("the first stage takes %.0f s in each of %d fold(s), %.0f %% of the time", each, first, 100 * share)
    return replace(options, time_budget_s=each), replace(options, time_budget_s=budget * (1 - share))


def _find_organs(options: Options, planned: Plan, region: Region, workspace: Workspace) -> None:
    """Masks of the training images by the model that is the first stage; those that are there are kept.

    Raises:
        DatasetError: The model could segment none of them.
    """
    from autoseg.inference.next_stage import ORGAN_MODEL
    from autoseg.stages import predict

    variant = variant_of(planned.method, options.train_fraction)
    wanted = predict.Options(
        input=workspace.raw_dataset(options.dataset) / "imagesTr",
        output=workspace.run(options.dataset, variant, ORGAN_MODEL, "0").parent,
        model=None if region.model is None else Path(region.model),
        mirror=region.mirror,
        step_size=region.step_size,
        device=options.device,
        threads=options.threads,
        workers=options.workers,
        memory_limit=options.memory_limit,
    )
    # Masks of an earlier model are of no use; a training that learned from them is refused by its own check.
    outcome = predict.run(replace(wanted, overwrite=not predict.fits_earlier(wanted, workspace)), workspace)
    if outcome.failed and not (outcome.written or outcome.kept):
        case_id, reason = next(iter(outcome.failed.items()))
        raise DatasetError(f"{region.model} segments no training image ({case_id}: {reason})", "choose another model")


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
    rivals = [name for name in _candidates(planned) if name in (options.configurations or (name,))]
    several = len(rivals) > 1 and configuration in rivals
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
            memory_limit=options.memory_limit,
        ),
        workspace,
    )
    evaluate.run(
        evaluate.Options(
            predictions=folder,
            references=workspace.raw_dataset(options.dataset) / "labelsTr",
            output=report,
            dataset=options.dataset,
            labels=_own_labels(planned.configuration(configuration), folder.parent, workspace),
            cases=held_out,
            figures=True,
            masks_of=f"{configuration} fold {fold}",
            workers=options.workers,
        ),
        workspace,
    )
    return report


def _own_labels(configuration: Configuration, folder: Path, workspace: Workspace) -> Path | None:
    """`labels.json` of a first stage, whose masks have other labels than the data set; None for all others."""
    if not configuration.is_first_stage or configuration.labels is None:
        return None
    spec = Dataset.load(workspace.raw_dataset(folder.parents[2].name) / "dataset.json")
    own = LabelSpace.parse(configuration.labels, configuration.regions_class_order)
    rest = tuple(value for value in spec.label_space().foreground_values if value not in own.foreground_values)
    order = configuration.regions_class_order or ()
    labels = configuration.labels | ({"not learned": rest} if rest else {})
    path = folder / "labels.json"
    spec.model_copy(update={"labels": labels, "regions_class_order": (*order, *rest[:1])}).save(path)
    return path


def _is_newer(path: Path, than: Path) -> bool:
    return path.is_file() and than.is_file() and path.stat().st_mtime_ns >= than.stat().st_mtime_ns


def _affordable(planned: Plan, folds: tuple[str, ...]) -> tuple[str, ...]:
    """Every candidate; where only some folds are wanted, without cascades, which need all of another one's.

    A method that plans a region has nothing else to offer.
    """
    candidates = _candidates(planned)
    left_out = [name for name in candidates if folds and _has_rivals(planned.configuration(name))]
    for name in left_out:
        stage = planned.configuration(name).previous_stage
        logger.info("%s is left out, as it needs all folds of %s; name it by -c", name, stage)
    return tuple(name for name in candidates if name not in left_out)


def _has_rivals(configuration: Configuration) -> bool:
    return configuration.previous_stage is not None and configuration.region is None


def _candidates(planned: Plan) -> tuple[str, ...]:
    """Configurations that may be chosen: all but those that only find a region for another."""
    return tuple(name for name, one in planned.configurations.items() if not one.is_first_stage)


def _all_folds(workspace: Workspace, planned: Plan) -> tuple[str, ...]:
    splits = Splits.load(workspace.splits(planned.dataset, planned.method))
    return tuple(str(index) for index in range(len(splits.folds)))
