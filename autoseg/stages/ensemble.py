"""Choose what predicts and pack it: scored runs -> models/<dataset>/<method>/ with model.json, weights and scores."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.atomic import replacing, write_text
from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelSpace
from autoseg.core.workspace import Workspace
from autoseg.inference.organ_model import pack_organ_model
from autoseg.inference.scored_runs import (
    WEIGHTS,
    ScoredRun,
    SharedCase,
    cross_validated_dice,
    find_runs,
    previous_runs,
    shared_cases,
)
from autoseg.io.label_files import find_label_files
from autoseg.io.raw import RawDataset
from autoseg.metrics.dice import mean_of_regions
from autoseg.reporting.model_card import model_card
from autoseg.specs.dataset import Dataset
from autoseg.specs.document import canonical_json
from autoseg.specs.model import Member, Model
from autoseg.specs.plan import Resampling

logger = logging.getLogger(__name__)
TIE = 1e-6
"""Dice differences below this count as equal; the simpler configuration then wins."""
JOIN = "+"
"""Between the names of configurations whose probabilities are averaged."""
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


def run(options: Options, workspace: Workspace) -> Path:
    """Select and pack.

    Returns:
        The model folder.

    Raises:
        DatasetError: No complete, scored run is there, or a cascade lacks its previous stage.
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
    raw, _ = RawDataset.scan(workspace.raw_dataset(options.dataset))
    references = {case.case_id: case.label for case in raw.training if case.label is not None}
    shared = shared_cases(runs, references) if len(runs) > 1 else ()
    common = {case.case_id for case in shared} or None
    scores = {name: cross_validated_dice(group, common) for name, group in runs.items()}
    scores |= _scores_of_averages(shared, runs)
    selected, reason = select(scores)
    logger.info("%s", reason)
    if JOIN in selected:
        _write_merged(shared, selected, runs)
    folder = workspace.model(options.dataset, options.method)
    packed = runs | previous_runs(root, runs)
    members = {name: pack_organ_model(folder, _pack_member(folder, group)) for name, group in packed.items()}
    model = _model(runs, members, selected=selected, reason=reason, dataset=raw.spec)
    write_text(folder / "scores.json", canonical_json(scores) + "\n")
    write_text(folder / "card.md", model_card(model, {n: [r.report for r in g] for n, g in runs.items()}))
    model.save(folder / "model.json")
    return folder


def select(scores: Mapping[str, float]) -> tuple[str, str]:
    """Configuration, or configurations joined by `+`, with the highest cross-validated Dice, and why.

    Ties go to fewer members, then to the simpler ones.
    """
    best = max(scores.values())
    chosen = min((name for name in scores if scores[name] >= best - TIE), key=_simplicity)
    table = ", ".join(f"{name} {score:.4f}" for name, score in sorted(scores.items(), key=lambda item: -item[1]))
    return chosen, f"{chosen} is used: mean Dice of the held-out cases {table}"


def _simplicity(name: str) -> tuple[int, tuple[int, ...]]:
    known = {each: place for place, each in enumerate(SIMPLICITY)}
    members = name.split(JOIN)
    return len(members), tuple(known.get(member, len(known)) for member in members)


def _scores_of_averages(shared: Sequence[SharedCase], runs: Mapping[str, list[ScoredRun]]) -> dict[str, float]:
    """`a+b` -> mean Dice of the averaged probabilities of two or three configurations."""
    if not shared:
        return {}
    from autoseg.inference.subsets import has_probabilities, score_subsets, subsets_of

    space, rules = _meaning(runs)
    stored = [name for name in sorted(runs, key=_simplicity) if all(has_probabilities(case, name) for case in shared)]
    if len(stored) < len(runs):
        lacking = ", ".join(sorted(set(runs) - set(stored)))
        logger.warning(
            "%s: no probabilities of the held-out cases; plan_and_train with all of them adds these", lacking
        )
    subsets = subsets_of(stored)
    found = score_subsets(shared, subsets, space, rules) if subsets else {}
    return {JOIN.join(subset): mean_of_regions(means) or 0.0 for subset, means in found.items()}


def _write_merged(shared: Sequence[SharedCase], selected: str, runs: Mapping[str, list[ScoredRun]]) -> None:
    """Held-out masks of the average, in a folder like those of a configuration: post-processing is decided on them."""
    from autoseg.inference.subsets import write_merged

    space, rules = _meaning(runs)
    subset = tuple(selected.split(JOIN))
    targets = {}
    for case in shared:
        folder = case.folders[subset[0]]
        fold, mask = folder.parent, find_label_files(folder)[case.case_id]
        targets[case.case_id] = fold.parents[1] / selected / fold.name / "validation" / mask.name
    write_merged(shared, subset, targets, space, rules)


def _meaning(runs: Mapping[str, list[ScoredRun]]) -> tuple[LabelSpace, dict[str, Resampling]]:
    """Of the labels, and of each configuration's grid."""
    first = next(iter(runs.values()))[0].run
    rules = {name: group[0].run.configuration.preprocessing.resampling for name, group in runs.items()}
    return LabelSpace.parse(first.labels, first.regions_class_order), rules


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
    first = runs[selected.split(JOIN)[0]][0].run
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
        selected=tuple(selected.split(JOIN)),
        selection_reason=reason,
        training_cases=len(cases),
        licence=dataset.licence,
        versions=first.versions,
    )
