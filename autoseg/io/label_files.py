"""Folders of label maps, one file per case."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.io.images import READABLE_ENDINGS, image_ending, without_previews

logger = logging.getLogger(__name__)
_SHOWN = 5


@dataclass(frozen=True)
class LabelPair:
    """Prediction and reference of one case, and the labels that the reference annotates (None: all)."""

    case_id: str
    prediction: Path
    reference: Path
    annotated: tuple[str, ...] | None = None


def pair_label_files(
    predictions: Path, references: Path, *, cases: Collection[str] | None = None
) -> tuple[LabelPair, ...]:
    """Match the files of two folders by case name, sorted.

    Args:
        predictions: Folder; files without a reference are left out with a warning.
        references: Folder; each of its cases must be predicted.
        cases: Only these; None takes every reference.

    Raises:
        DatasetError: No references, cases without prediction or reference, or two files of one case.
    """
    predicted, referenced = find_label_files(predictions), find_label_files(references)
    if cases is not None:
        _refuse_missing(set(cases) - set(referenced), "reference", references)
        referenced = {case_id: path for case_id, path in referenced.items() if case_id in set(cases)}
    if not referenced:
        raise DatasetError(f"no references in {references}", f"put files ending in {', '.join(READABLE_ENDINGS)} there")
    _refuse_missing(set(referenced) - set(predicted), "prediction", predictions)
    extra = sorted(set(predicted) - set(referenced))
    if extra and cases is None:
        logger.warning("%d predictions without a reference are left out: %s", len(extra), listed(extra))
    return tuple(LabelPair(case_id, predicted[case_id], path) for case_id, path in sorted(referenced.items()))


def find_label_files(folder: Path) -> dict[str, Path]:
    """Case id -> file, sorted; anything but images is passed over, endings may be mixed.

    Raises:
        DatasetError: No such folder, or two files of one case.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder", "check the path")
    files: dict[str, Path] = {}
    for path in without_previews([path for path in sorted(folder.iterdir()) if path.is_file()]):
        case_id = path.name[: -len(image_ending(path) or "")]
        if case_id in files:
            raise DatasetError(f"{path} and {files[case_id].name} are the same case", "remove one", case_id=case_id)
        files[case_id] = path
    return files


def listed(names: Sequence[str]) -> str:
    """The first few names and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _refuse_missing(case_ids: Collection[str], what: str, folder: Path) -> None:
    if case_ids:
        names = sorted(case_ids)
        raise DatasetError(
            f"{len(names)} case(s) have no {what} in {folder}: {listed(names)}",
            "add the files under these names, or leave the cases out",
            case_id=names[0],
        )
