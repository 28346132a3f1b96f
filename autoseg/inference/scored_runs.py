"""Finished trainings with the scores of their held-out cases; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.metrics.dice import mean_of_regions, mean_per_region
from autoseg.specs.report import Report
from autoseg.specs.run import Run

WEIGHTS = "weights_final.safetensors"
REPORT = "validation/report.json"


@dataclass(frozen=True)
class ScoredRun:
    """A complete training with the scores of its held-out cases."""

    folder: Path
    run: Run
    report: Report


@dataclass(frozen=True)
class SharedCase:
    """One case that every configuration held out.

    Attributes:
        case_id: Its name.
        folders: Configuration -> `validation` folder of the fold that held it out.
        reference: Label file.
    """

    case_id: str
    folders: Mapping[str, Path]
    reference: Path


def find_runs(
    root: Path, *, configurations: Collection[str] = (), folds: Collection[str] = ()
) -> dict[str, list[ScoredRun]]:
    """Complete and scored trainings of one method, by configuration.

    Args:
        root: Folder of the method's runs.
        configurations: Only these; empty takes all.
        folds: Only these; empty takes all.
    """
    found: dict[str, list[ScoredRun]] = {}
    for path in sorted(root.glob(f"*/fold_*/{REPORT}")):
        folder = path.parents[1]
        configuration, fold = folder.parent.name, folder.name.removeprefix("fold_")
        wanted = configuration in (configurations or (configuration,)) and fold in (folds or (fold,))
        if wanted and (folder / WEIGHTS).is_file():
            scored = ScoredRun(folder, Run.load(folder / "run.json"), Report.load(path))
            found.setdefault(configuration, []).append(scored)
    return found


def previous_runs(root: Path, runs: Mapping[str, Sequence[ScoredRun]]) -> dict[str, list[ScoredRun]]:
    """Runs of the stages that others take their input from and that are not among them, with all their folds.

    Args:
        root: Folder of the method's runs.
        runs: By configuration.

    Raises:
        DatasetError: A previous stage is not trained.
    """
    found: dict[str, list[ScoredRun]] = {}
    names = [(name, group[0].run.configuration.previous_stage) for name, group in runs.items()]
    while names:
        name, stage = names.pop()
        if stage is None or stage in runs or stage in found:
            continue
        group = find_runs(root, configurations=(stage,)).get(stage)
        if group is None:
            raise DatasetError(
                f"{name} takes its input from {stage}, which has no complete and scored training",
                f"run autoseg plan_and_train -c {name}, which trains both",
            )
        found[stage] = group
        names.append((stage, group[0].run.configuration.previous_stage))
    return found


def check_alike(runs: Mapping[str, Sequence[ScoredRun]]) -> None:
    """Folds of one configuration are averaged: they must be one network on one grid, with one meaning of its heads.

    Raises:
        DatasetError: A fold was trained by another plan.
    """
    for name, group in runs.items():
        for other in group[1:]:
            differing = [key for key, value in _made(group[0].run).items() if value != _made(other.run)[key]]
            if differing:
                raise DatasetError(
                    f"{name}: fold {other.run.fold} was trained with another {', '.join(differing)} than fold "
                    f"{group[0].run.fold}",
                    "train it again with --replan, or leave it out with -f",
                )


def _made(run: Run) -> dict[str, object]:
    """What a prediction depends on."""
    own = run.configuration
    return {
        "preprocessing": own.preprocessing,
        "patch size": own.patch_size_voxels,
        "network": (own.network, own.topology),
        "previous stage": (own.previous_stage, own.region),
        "channels": run.channels,
        "labels": (run.labels, run.regions_class_order),
        "mirroring": run.mirror_axes,
    }


def held_out(run: Run) -> tuple[str, ...]:
    """Cases that a training was judged by and did not learn from; fold `all` has none."""
    return tuple(case for case in run.val_cases if case not in set(run.train_cases))


def cross_validated_dice(runs: Sequence[ScoredRun], cases: Collection[str] = ()) -> float:
    """Mean over regions of the mean over the cases that the folds held out (undefined scores left out).

    Args:
        runs: Folds of one configuration.
        cases: Only these; empty takes all. Where nothing was held out, the cases that a training saw.
    """
    honest = {case for each in runs for case in held_out(each.run)}
    rows = [
        {region: metrics["dice"].value for region, metrics in case.regions.items()}
        for each in runs
        for case in each.report.cases
        if not honest or (case.id in held_out(each.run) and (not cases or case.id in cases))
    ]
    return mean_of_regions(mean_per_region(rows)) or 0.0


def shared_cases(runs: Mapping[str, Sequence[ScoredRun]], references: Mapping[str, Path]) -> tuple[SharedCase, ...]:
    """Cases that every configuration held out and whose label file is known, sorted by id."""
    folders: dict[str, dict[str, Path]] = {}
    for name, group in runs.items():
        for scored in group:
            for case_id in held_out(scored.run):
                folders.setdefault(case_id, {})[name] = scored.folder / "validation"
    return tuple(
        SharedCase(case_id, found, references[case_id])
        for case_id, found in sorted(folders.items())
        if len(found) == len(runs) and case_id in references
    )
