"""The ten stages in order, and the run of several of them: start reading here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg.core.workspace import Workspace, variant_of
from autoseg.pipeline.folds import share_of_time, train_folds
from autoseg.pipeline.held_out import score_held_out
from autoseg.pipeline.options import Options
from autoseg.pipeline.preparation import Prepared, check_prepared, prepare

__all__ = [
    "STAGES",
    "Options",
    "Outcome",
    "Prepared",
    "StageInfo",
    "check_prepared",
    "plan_and_train",
    "prepare",
    "score_held_out",
    "share_of_time",
    "train_folds",
]


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
