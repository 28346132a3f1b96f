"""`postprocess`: held-out masks and references -> `postprocess.json` of the model folder; and cleaning a folder."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.core.errors import AutosegError, DatasetError, SpecError
from autoseg.core.workers import default_workers, run_cases_growing
from autoseg.core.workspace import Workspace
from autoseg.io.images import read_label, write_label
from autoseg.io.label_files import LabelPair, find_label_files
from autoseg.io.raw import RawDataset
from autoseg.postprocessing import apply_steps, steps
from autoseg.postprocessing._choose import choose_steps
from autoseg.postprocessing._select import Selection
from autoseg.specs.document import Component
from autoseg.specs.model import MODEL_FILE, Model
from autoseg.specs.postprocess import POSTPROCESS_FILE, Postprocess
from autoseg.specs.run import Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Which model to decide for.

    Attributes:
        dataset: Folder name of the data set.
        method: Name of the method.
        overwrite: Decide again although nothing has changed.
        workers: Processes; None uses every CPU.
    """

    dataset: str
    method: str = "autoseg"
    overwrite: bool = False
    workers: int | None = None


@dataclass(frozen=True)
class CleanOptions:
    """Which masks to clean, and how.

    Attributes:
        input: Folder of masks.
        output: Folder for the cleaned ones, of the same names.
        model: Model folder whose `postprocess.json` applies.
        steps: Steps to apply instead.
        workers: Processes; None uses every CPU.
    """

    input: Path
    output: Path
    model: Path | None = None
    steps: tuple[Component, ...] = ()
    workers: int | None = None


@dataclass(frozen=True)
class Cleaned:
    """What became of the masks.

    Attributes:
        changed: Case id -> voxels that differ from the input.
        failed: Case id -> why it was not cleaned.
    """

    changed: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def run(options: Options, workspace: Workspace) -> Path:
    """Decide which steps follow the prediction of the selected members.

    Returns:
        `postprocess.json` in the model folder.

    Raises:
        SpecError: There is no model, or a run of it is gone.
        DatasetError: A held-out mask or reference is missing, unreadable, or on another grid.
    """
    folder = workspace.model(options.dataset, options.method)
    model = Model.load(folder / MODEL_FILE)
    document = folder / POSTPROCESS_FILE
    # Cases that were left out of the training need not be usable now.
    raw, _ = RawDataset.scan(workspace.raw_dataset(options.dataset))
    fold_of, pairs = _held_out(model, options, workspace, raw)
    if not options.overwrite and _is_current(document, model, pairs):
        logger.info("up to date: %s", document)
        return document
    workers = default_workers() if options.workers is None else options.workers
    first = _run(model, options, workspace, next(iter(model.members[model.selected[0]].weights)))
    rules, scoring = first.method.postprocess, raw.spec.scoring
    selection, protocol = choose_steps(pairs, raw.labels, rules, folds=fold_of, scoring=scoring, workers=workers)
    for trial in selection.trials:
        logger.info("%s: %s", "kept" if trial.kept else "left out", trial.reason)
    Postprocess(
        steps=selection.steps,
        configurations=model.selected,
        model=model.digest(),
        folds=tuple(dict.fromkeys(fold_of)),
        cases=len(pairs),
        before=dict(selection.before),
        after=dict(selection.after),
        reason=_reason(selection, len(pairs)),
        protocol=protocol,
        trials=selection.trials,
    ).save(document)
    return document


def clean(options: CleanOptions) -> Cleaned:
    """Apply steps to every mask of a folder; headers stay as they are.

    Raises:
        SpecError: Neither a model nor steps, or a model without `postprocess.json`.
        DatasetError: No masks.
        RegistryError: An unknown step or option.
        AutosegError: The output is the input.
    """
    chosen = options.steps or _steps_of(options.model)
    for component in chosen:
        steps.options(component.name, component.options)
    if options.output.resolve() == options.input.resolve():
        raise AutosegError(f"{options.output} is where the masks are", "choose another output folder")
    masks = find_label_files(options.input)
    if not masks:
        raise DatasetError(f"no masks in {options.input}", "give the folder that predict wrote")
    workers = default_workers() if options.workers is None else options.workers
    one = functools.partial(_clean_one, output=options.output, chosen=chosen)
    outcome = Cleaned()
    for each in run_cases_growing(one, list(masks.items()), workers=workers):
        case_id = each.item[0]
        if each.result is None:
            outcome.failed[case_id] = str(each.error)
            logger.error("%s: %s", case_id, each.error)
        else:
            outcome.changed[case_id] = each.result
    return outcome


def _steps_of(model: Path | None) -> tuple[Component, ...]:
    if model is None:
        raise SpecError("nothing says how to clean", "name a model folder (--model) or steps (--step keep_largest)")
    if not (model / POSTPROCESS_FILE).is_file():
        raise SpecError(f"{model} has no {POSTPROCESS_FILE}", "run autoseg postprocess on its data set first")
    return Postprocess.load(model / POSTPROCESS_FILE).steps


def _clean_one(mask: tuple[str, Path], *, output: Path, chosen: tuple[Component, ...]) -> int:
    path = mask[1]
    labels, geometry = read_label(path)
    cleaned = apply_steps(chosen, labels, geometry.spacing_mm)
    write_label(output / path.name, cleaned, geometry, like=path)
    return 0 if cleaned is labels else int((cleaned != labels).sum())


def _held_out(
    model: Model, options: Options, workspace: Workspace, raw: RawDataset
) -> tuple[tuple[str, ...], tuple[LabelPair, ...]]:
    """Masks and references of the cases that folds held out, and the fold of each."""
    references = {case.case_id: case.label for case in raw.training}
    members = [set(model.members[name].weights) for name in model.selected]
    folds, pairs = [], []
    for fold in sorted(set.intersection(*members)):
        run_of_fold = _run(model, options, workspace, fold)
        cases = [case for case in run_of_fold.val_cases if case not in run_of_fold.train_cases]
        folder = workspace.run(options.dataset, options.method, "+".join(model.selected), fold) / "validation"
        masks = find_label_files(folder) if cases else {}
        for case_id in cases:
            mask, reference = masks.get(case_id), references.get(case_id)
            if mask is None or reference is None:
                what = f"mask in {folder}" if mask is None else "reference in the raw data set"
                raise DatasetError(f"{case_id} has no {what}", "run autoseg plan_and_train again", case_id=case_id)
            pairs.append(LabelPair(case_id, mask, reference, raw.spec.annotated(case_id)))
            folds.append(fold)
    return tuple(folds), tuple(pairs)


def _run(model: Model, options: Options, workspace: Workspace, fold: str) -> Run:
    return Run.load(workspace.run(options.dataset, options.method, model.selected[0], fold) / "run.json")


def _is_current(document: Path, model: Model, pairs: Sequence[LabelPair]) -> bool:
    if not document.is_file() or Postprocess.load(document).model != model.digest():
        return False
    decided = document.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns <= decided for pair in pairs for path in (pair.prediction, pair.reference))


def _reason(selection: Selection, cases: int) -> str:
    if not cases:
        return "no fold held cases out, so that nothing could be tried"
    kept = [trial.reason for trial in selection.trials if trial.kept]
    return "; ".join(kept) if kept else f"no step raised the Dice of the {cases} held-out cases"
