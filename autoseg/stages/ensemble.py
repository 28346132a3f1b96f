"""Choose what predicts and pack it: scored runs -> models/<dataset>/<method>/ with model.json, weights and scores."""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.atomic import replacing, write_text
from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace
from autoseg.reporting.model_card import model_card
from autoseg.specs.dataset import Dataset
from autoseg.specs.document import canonical_json
from autoseg.specs.model import Member, Model
from autoseg.specs.report import Report
from autoseg.specs.run import Run

logger = logging.getLogger(__name__)
WEIGHTS = "weights_final.safetensors"
REPORT = "validation/report.json"
TIE = 1e-6
"""Dice differences below this count as equal; the simpler configuration then wins."""
SIMPLICITY = ("2d", "3d_lowres", "3d_fullres", "3d_cascade_fullres")


@dataclass(frozen=True)
class Options:
    """Which runs to choose from.

    Attributes:
        dataset: Folder name of the data set.
        method: Name of the method.
        configurations: To consider; empty means every trained one.
        folds: To pack; empty means every trained one.
    """

    dataset: str
    method: str = "autoseg"
    configurations: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoredRun:
    """A complete training with the scores of its held-out cases."""

    folder: Path
    run: Run
    report: Report


def run(options: Options, workspace: Workspace) -> Path:
    """Select and pack.

    Returns:
        The model folder.

    Raises:
        DatasetError: No complete, scored run is there.
    """
    runs = _find_runs(options, workspace)
    if not runs:
        raise DatasetError(
            f"{options.dataset} has no complete and scored training of method '{options.method}'",
            "run autoseg plan_and_train first",
        )
    scores = {name: _cross_validated_dice(group) for name, group in runs.items()}
    selected, reason = select(scores)
    logger.info("%s", reason)
    folder = workspace.model(options.dataset, options.method)
    members = {name: _pack_member(folder, group) for name, group in runs.items()}
    model = _model(runs, members, selected=selected, reason=reason, dataset=_dataset(options, workspace))
    write_text(folder / "scores.json", canonical_json(scores) + "\n")
    write_text(folder / "card.md", model_card(model, {n: [r.report for r in g] for n, g in runs.items()}))
    model.save(folder / "model.json")
    return folder


def select(scores: dict[str, float]) -> tuple[str, str]:
    """Configuration with the highest cross-validated Dice, and why; ties go to the simpler one."""
    best = max(scores.values())
    tied = [name for name in scores if scores[name] >= best - TIE]
    chosen = min(tied, key=lambda name: SIMPLICITY.index(name) if name in SIMPLICITY else len(SIMPLICITY))
    table = ", ".join(f"{name} {score:.4f}" for name, score in sorted(scores.items(), key=lambda item: -item[1]))
    return chosen, f"{chosen} is used: mean Dice of the held-out cases {table}"


def _find_runs(options: Options, workspace: Workspace) -> dict[str, list[ScoredRun]]:
    root = workspace.run(options.dataset, options.method, "any", "0").parents[1]
    found: dict[str, list[ScoredRun]] = {}
    for path in sorted(root.glob(f"*/fold_*/{REPORT}")):
        folder = path.parents[1]
        configuration, fold = folder.parent.name, folder.name.removeprefix("fold_")
        wanted = (not options.configurations or configuration in options.configurations) and (
            not options.folds or fold in options.folds
        )
        if wanted and (folder / WEIGHTS).is_file():
            scored = ScoredRun(folder, Run.load(folder / "run.json"), Report.load(path))
            found.setdefault(configuration, []).append(scored)
    return found


def _cross_validated_dice(runs: list[ScoredRun]) -> float:
    """Mean over regions of the mean over all folds' held-out cases (undefined scores left out)."""
    values: dict[str, list[float]] = {}
    for scored in runs:
        for case in scored.report.cases:
            for region, metrics in case.regions.items():
                if metrics["dice"].value is not None:
                    values.setdefault(region, []).append(metrics["dice"].value)
    means = [sum(region) / len(region) for region in values.values()]
    return sum(means) / len(means) if means else 0.0


def _pack_member(folder: Path, runs: list[ScoredRun]) -> Member:
    weights, digests = {}, {}
    for scored in runs:
        name = f"weights/{scored.run.configuration.name}_fold_{scored.run.fold}.safetensors"
        with replacing(folder / name) as temporary:
            shutil.copyfile(scored.folder / WEIGHTS, temporary)
        weights[scored.run.fold] = name
        digests[scored.run.fold] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return Member(configuration=runs[0].run.configuration, weights=weights, sha256=digests)


def _model(
    runs: dict[str, list[ScoredRun]], members: dict[str, Member], *, selected: str, reason: str, dataset: Dataset
) -> Model:
    first = runs[selected][0].run
    cases = {case for group in runs.values() for scored in group for case in scored.run.train_cases}
    return Model(
        dataset=first.dataset,
        method=first.method.name,
        channels=first.channels,
        labels=first.labels,
        regions_class_order=first.regions_class_order,
        file_ending=dataset.file_ending,
        mirror_axes=first.mirror_axes,
        predict=first.method.predict,
        members=members,
        selected=(selected,),
        selection_reason=reason,
        training_cases=len(cases),
        licence=dataset.licence,
        versions=first.versions,
    )


def _dataset(options: Options, workspace: Workspace) -> Dataset:
    return Dataset.load(workspace.raw_dataset(options.dataset) / "dataset.json")
