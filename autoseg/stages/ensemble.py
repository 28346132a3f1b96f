"""Choose what predicts and pack it: scored runs -> models/<dataset>/<method>/ with model.json, weights and scores."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.atomic import replacing, write_text
from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace
from autoseg.inference.averages import JOIN, Averages, simplicity
from autoseg.inference.organ_model import pack_organ_model
from autoseg.inference.scored_runs import (
    WEIGHTS,
    ScoredRun,
    check_alike,
    cross_validated_dice,
    find_runs,
    held_out,
    previous_runs,
    shared_cases,
)
from autoseg.inference.shares import Shared
from autoseg.io.raw import RawDataset
from autoseg.reporting.model_card import model_card
from autoseg.specs.dataset import Dataset
from autoseg.specs.document import canonical_json
from autoseg.specs.ensemble import ENSEMBLE_FILE, Ensemble, Weighting
from autoseg.specs.model import MODEL_FILE, Member, Model

logger = logging.getLogger(__name__)
TIE = 1e-6
"""Dice differences below this count as equal; the simpler configuration then wins."""
Runs = Mapping[str, list[ScoredRun]]


@dataclass(frozen=True)
class Options:
    """Which runs to choose from.

    Attributes:
        dataset: Folder name of the data set.
        method: Name of the method.
        configurations: To consider; empty means every trained one.
        folds: To pack; empty means every trained one.
        search_weights: Try unequal shares of the members where an average is selected.
    """

    dataset: str
    method: str = "autoseg"
    configurations: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    search_weights: bool = False


def run(options: Options, workspace: Workspace) -> Path:
    """Select and pack.

    Returns:
        The model folder.

    Raises:
        DatasetError: No complete, scored run is there, a cascade lacks its previous stage, or folds of one
            configuration are of different plans.
    """
    root = workspace.run(options.dataset, options.method, "any", "0").parents[1]
    runs = find_runs(root, configurations=options.configurations, folds=options.folds)
    # What only finds a region is packed with the stage that needs it, and never chosen for its own sake.
    seconds = {name: group for name, group in runs.items() if not group[0].run.configuration.is_first_stage}
    runs = seconds or runs
    if not runs:
        raise DatasetError(
            f"{options.dataset} has no complete and scored training of method '{options.method}'",
            "run autoseg plan_and_train first",
        )
    packed = runs | previous_runs(root, runs)
    check_alike(packed)
    raw, _ = RawDataset.scan(workspace.raw_dataset(options.dataset))
    references = {case.case_id: case.label for case in raw.training if case.label is not None}
    grounds = _choose(runs, references, search_weights=options.search_weights)
    logger.info("%s", grounds.reason)
    if options.search_weights:
        logger.info("%s", grounds.weights_reason)
    folder = workspace.model(options.dataset, options.method)
    members = {name: pack_organ_model(folder, _pack_member(folder, group)) for name, group in packed.items()}
    model = _model(packed, members, grounds, dataset=raw.spec)
    write_text(folder / "scores.json", canonical_json(grounds.scores) + "\n")
    grounds.save(folder / ENSEMBLE_FILE)
    write_text(folder / "card.md", model_card(model, {n: [r.report for r in g] for n, g in runs.items()}))
    model.save(folder / MODEL_FILE)
    return folder


def _choose(runs: Runs, references: Mapping[str, Path], *, search_weights: bool) -> Ensemble:
    """Compare on held-out cases, and write the masks of an average that is selected."""
    # A training on every case is scored on cases that it has seen: it would always win.
    judged = {name: group for name, group in runs.items() if any(held_out(each.run) for each in group)} or runs
    averages = Averages(shared_cases(judged, references) if len(judged) > 1 else (), judged)
    cases = tuple(case.case_id for case in averages.cases)
    scores = {name: cross_validated_dice(group, cases) for name, group in judged.items()} | averages.scores()
    selected, reason = select(scores)
    if not any(held_out(each.run) for group in judged.values() for each in group):
        reason = reason.replace("the held-out cases", "cases seen in training, as nothing was held out,")
    elif len(judged) < len(runs):
        reason += f"; {', '.join(sorted(set(runs) - set(judged)))} held nothing out and is not compared"
    names = tuple(selected.split(JOIN))
    shared = Shared((1.0,), "one member alone has nothing to share", {})
    if len(names) > 1:
        equal = Shared((1 / len(names),) * len(names), "equal shares: others were not tried", {})
        shared = averages.weigh(names) if search_weights else equal
        averages.write(names, shared.shares)
    return Ensemble(
        selected=names,
        reason=reason,
        scores=scores,
        cases=cases,
        weights=dict(zip(names, shared.shares, strict=True)),
        weights_reason=shared.reason,
        weightings=tuple(
            Weighting(weights=dict(zip(names, shares, strict=True)), dice=dice) for shares, dice in shared.tried.items()
        ),
    )


def select(scores: Mapping[str, float]) -> tuple[str, str]:
    """Configuration, or configurations joined by `+`, with the highest cross-validated Dice, and why.

    Ties go to fewer members, then to the simpler ones.
    """
    best = max(scores.values())
    chosen = min((name for name in scores if scores[name] >= best - TIE), key=simplicity)
    table = ", ".join(f"{name} {score:.4f}" for name, score in sorted(scores.items(), key=lambda item: -item[1]))
    return chosen, f"{chosen} is used: mean Dice of the held-out cases {table}"


def _pack_member(folder: Path, runs: list[ScoredRun]) -> Member:
    weights, digests = {}, {}
    for scored in runs:
        name = f"weights/{scored.run.configuration.name}_fold_{scored.run.fold}.safetensors"
        with replacing(folder / name) as temporary:
            shutil.copyfile(scored.folder / WEIGHTS, temporary)
        weights[scored.run.fold] = name
        digests[scored.run.fold] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return Member(configuration=runs[0].run.configuration, weights=weights, sha256=digests)


def _model(runs: Runs, members: dict[str, Member], grounds: Ensemble, *, dataset: Dataset) -> Model:
    first = runs[grounds.selected[0]][0].run
    whole = first.configuration.region is not None  # whose written labels are those of both stages
    cases = {case for group in runs.values() for scored in group for case in scored.run.train_cases}
    return Model(
        dataset=first.dataset,
        method=first.method.name,
        channels=first.channels,
        labels=dataset.labels if whole else first.labels,
        regions_class_order=dataset.regions_class_order if whole else first.regions_class_order,
        file_ending=dataset.file_ending,
        mirror_axes=first.mirror_axes,
        laterality=first.laterality,
        predict=first.method.predict,
        members=members,
        selected=grounds.selected,
        selection_reason=grounds.reason,
        member_weights={} if len(set(grounds.weights.values())) == 1 else grounds.weights,
        training_cases=len(cases),
        licence=dataset.licence,
        versions=first.versions,
    )
