"""Held-out cases of a trained fold, predicted and scored."""

from __future__ import annotations

from pathlib import Path

from autoseg.core.labels import LabelSpace
from autoseg.core.workspace import Workspace, variant_of
from autoseg.pipeline.options import Options
from autoseg.specs.dataset import Dataset
from autoseg.specs.plan import Configuration, Plan
from autoseg.specs.run import Run
from autoseg.training.agreement import FINAL, RUN


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
    rivals = [name for name in planned.candidates if name in (options.configurations or (name,))]
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
