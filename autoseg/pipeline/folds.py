"""Folds of one configuration, trained and scored; a cascade after its first stage."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace, variant_of
from autoseg.pipeline.held_out import score_held_out
from autoseg.pipeline.options import Options
from autoseg.specs.plan import Plan, Region
from autoseg.specs.splits import Splits
from autoseg.training.agreement import FINAL

logger = logging.getLogger(__name__)


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


def _all_folds(workspace: Workspace, planned: Plan) -> tuple[str, ...]:
    splits = Splits.load(workspace.splits(planned.dataset, planned.method))
    return tuple(str(index) for index in range(len(splits.folds)))
