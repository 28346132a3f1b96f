"""Everything before training: fingerprint, plan, preprocess."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace
from autoseg.pipeline.options import Options
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.plan import Configuration, Plan

logger = logging.getLogger(__name__)


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


def _affordable(planned: Plan, folds: tuple[str, ...]) -> tuple[str, ...]:
    """Every candidate; where only some folds are wanted, without cascades, which need all of another one's.

    A method that plans a region has nothing else to offer.
    """
    left_out = [name for name in planned.candidates if folds and _has_rivals(planned.configuration(name))]
    for name in left_out:
        stage = planned.configuration(name).previous_stage
        logger.info("%s is left out, as it needs all folds of %s; name it by -c", name, stage)
    return tuple(name for name in planned.candidates if name not in left_out)


def _has_rivals(configuration: Configuration) -> bool:
    return configuration.previous_stage is not None and configuration.region is None
