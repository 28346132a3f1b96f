"""Open the preprocessed cases of a run: whole, with the labels of a previous stage, or the box around an organ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.core.errors import DatasetError
from autoseg.io.case_store import StoredCase
from autoseg.io.label_store import StoredLabels
from autoseg.specs.plan import Configuration

if TYPE_CHECKING:
    from autoseg.training.loader import CaseReader


def open_cases(
    folder: Path, names: tuple[str, ...], configuration: Configuration, *, previous: Path | None
) -> tuple[CaseReader, ...]:
    """Readers of stored cases.

    Args:
        folder: Of the preprocessed cases.
        names: Case ids.
        configuration: What is trained.
        previous: Folder of the previous stage's labels on the same grid.

    Raises:
        DatasetError: Cases are not preprocessed.
    """
    missing = [name for name in names if not StoredCase.exists(folder, name)]
    if missing:
        named = ", ".join(missing[:3])
        raise DatasetError(f"{len(missing)} cases are not preprocessed ({named}, ...)", "run autoseg preprocess first")
    cases = tuple(StoredCase(folder, name) for name in names)
    if previous is None:
        return cases
    # Imported late: they need torch, which takes seconds to load.
    from autoseg.training.previous import CascadeCase

    region = configuration.region
    if region is None:
        return tuple(CascadeCase(case, StoredLabels(previous, case.case_id)) for case in cases)
    from autoseg.training.region import RegionCase, box_around

    readers = []
    for case in cases:
        labels = StoredLabels(previous, case.case_id)
        organ = labels.read()
        box = box_around(organ, case.record.spacing_mm, region.margin_mm)
        readers.append(RegionCase(CascadeCase(case, labels), box, region=region, has_organ=bool(organ.any())))
    return tuple(readers)
