"""nnU-Net's post-processing of a model: which file is its, what that says as steps of ours, and the other way round."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace
from autoseg.inference._nnunet_files import CLEANING, Results, Trained
from autoseg.io.archive import READ_ERRORS, Entry
from autoseg.io.nnunet_postprocessing import LARGEST_BYTES, read_largest_components
from autoseg.postprocessing import steps
from autoseg.specs.document import Component
from autoseg.specs.model import Model
from autoseg.specs.postprocess import Postprocess

logger = logging.getLogger(__name__)
SINGLE, AVERAGE, BETWEEN = "crossval_results_folds_", "ensemble", "___"
"""Names of the folders in which nnU-Net collects held-out masks, and what stands between their parts."""
CONNECTIVITY = 26
"""Neighbours of a voxel, for nnU-Net."""
_CURE = "name one with --postprocessing FILE, or leave it out with --no-postprocess"


def find_cleaning(results: Results, selected: Collection[Trained]) -> Entry | None:
    """The file that nnU-Net wrote for exactly these configurations; None where it wrote none.

    Args:
        results: What nnU-Net left.
        selected: Configurations whose probabilities are averaged.

    Raises:
        SpecError: Several fit, and nnU-Net chose none of them.
    """
    fitting = {path: entry for path, entry in results.cleaning.items() if _is_of(path.parent, selected)}
    chosen = _chosen_file(results.choice)
    if len(fitting) > 1:
        # The choice holds a path of the machine that trained.
        fitting = {path: entry for path, entry in fitting.items() if path.parts[-2:] == chosen[-2:]} or fitting
    if len(fitting) > 1:
        raise SpecError(f"{len(fitting)} of nnU-Net's post-processings fit: {', '.join(map(str, fitting))}", _CURE)
    if not fitting and chosen:
        logger.warning(
            "nnU-Net's post-processing is not here (%s): masks are not cleaned; give it with --postprocessing FILE",
            "/".join(chosen[-2:]),
        )
    return next(iter(fitting.values()), None)


def cleaning_of(entry: Entry, model: Model) -> Postprocess:
    """Its rules as steps of ours.

    Args:
        entry: The file.
        model: Has the labels, and will be cleaned.

    Raises:
        CheckpointError: The file names another function than nnU-Net's own, or is damaged.
        SpecError: It cannot be read, or cleans a label that the model does not have.
    """
    try:
        with entry.open() as handle:
            content = handle.read(LARGEST_BYTES + 1)
    except READ_ERRORS as error:
        raise SpecError(f"{entry.where} cannot be read ({error})", _CURE) from error
    rules = read_largest_components(content, entry.where)
    known = LabelSpace.parse(model.labels, model.regions_class_order).foreground_values
    for value in (value for rule in rules for value in rule if value not in known):
        raise SpecError(f"{entry.where} cleans the label {value}, which the model does not have", _CURE)
    kept = ", then of ".join(" + ".join(_names(rule, model.labels)) for rule in rules)
    return Postprocess(
        steps=tuple(Component(name="keep_largest", options={"labels": list(rule)}) for rule in rules),
        configurations=model.selected,
        model=model.digest(),
        reason=f"nnU-Net's choice by its cross-validation: {f'largest component of {kept}' if kept else 'nothing'}",
    )


def rules_of(chosen: Sequence[Component], model: Model) -> tuple[tuple[int, ...], ...]:
    """Our steps as nnU-Net's rules: labels whose largest component, together, is kept.

    Raises:
        SpecError: A step that nnU-Net does not have, by its name and options.
    """
    rules: list[tuple[int, ...]] = []
    for step in chosen:
        is_largest = step.name == "keep_largest"
        options = steps.options(step.name, step.options).model_dump() if is_largest else {}
        if not is_largest or options["connectivity"] != CONNECTIVITY:
            raise SpecError(
                f"nnU-Net has no post-processing {step.name} {step.options}",
                "add --no-postprocess and apply it with autoseg postprocess -i MASKS -o CLEAN -m MODEL",
            )
        values = options["labels"] or LabelSpace.parse(model.labels, model.regions_class_order).foreground_values
        rules += [(value,) for value in values] if options["grouping"] == "each" else [tuple(values)]
    return tuple(rules)


def cleaning_path(folders: Sequence[str], folds: Sequence[str]) -> PurePosixPath:
    """Where nnU-Net keeps the rules of a configuration, or of an average, within the data set's folder.

    Args:
        folders: Names of the configurations' folders.
        folds: Whose held-out cases decided.
    """
    if len(folders) == 1:
        return PurePosixPath(folders[0], SINGLE + "_".join(folds), CLEANING)
    return PurePosixPath("ensembles", BETWEEN.join((AVERAGE, *folders, "_".join(folds))), CLEANING)


def _is_of(folder: PurePosixPath, selected: Collection[Trained]) -> bool:
    """Whether held-out masks of exactly these configurations are collected in a folder, by its name."""
    if folder.name.startswith(SINGLE):
        return [folder.parent] == [each.path for each in selected]
    kind, *members = folder.name.split(BETWEEN)
    return kind == AVERAGE and sorted(members[:-1]) == sorted(each.path.name for each in selected)


def _chosen_file(choice: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Parts of the path that nnU-Net's choice names."""
    best = (choice or {}).get("best_model_or_ensemble", {})
    file = best.get("postprocessing_file") if isinstance(best, dict) else None
    return PurePosixPath(file.replace("\\", "/")).parts if isinstance(file, str) and file.endswith(CLEANING) else ()


def _names(values: Collection[int], labels: Mapping[str, int | tuple[int, ...]]) -> Iterator[str]:
    """Of a label each, where it has one of its own; else its value."""
    own = {value if isinstance(value, int) else value[0]: name for name, value in labels.items() if _is_one(value)}
    return (own.get(value, str(value)) for value in values)


def _is_one(value: int | tuple[int, ...]) -> bool:
    return isinstance(value, int) or len(value) == 1
