"""What a conversion tells about a submission: the challenge's format, and options that both share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoseg.core.workspace import DATASET_FOLDER
from autoseg.datasets.conversion import RECORD, Conversion
from autoseg.datasets.registry import converter_names, load_converter
from autoseg.datasets.submission import option_names
from autoseg.io.images import PLANAR_ENDINGS
from autoseg.specs.dataset import Dataset

_USUAL, _PLAIN = "msd", "masks"
_TASKS = 100
"""The Decathlon's task numbers have two digits."""


def complete(folder: Path, name: str | None, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Format and options of a submission, those that are not given from how the data set was made.

    An option with the name of one of the converter's has its value, `source` is the folder that was converted, and
    the Decathlon's task follows from the data set's folder name.

    Args:
        folder: Raw data set.
        name: Format; None takes that of the data set or of its converter, else the Decathlon's, else (for pictures
            and data sets from 100 on) plain masks.
        given: Options that count more than those of the conversion.
    """
    record = Conversion.load(folder / RECORD) if (folder / RECORD).is_file() else None
    if name is None:
        known = record is not None and record.converter in converter_names()
        usual = load_converter(record.converter).spec().submission if record and known else ""
        name = _declared(folder) or usual or _usual(folder)
    wanted = option_names(name)
    made = {} if record is None else {**record.options, "source": record.source}
    options = {key: value for key, value in made.items() if key in wanted and value}
    number = DATASET_FOLDER.fullmatch(folder.name)
    if name == _USUAL and number:
        options["task"] = f"Task{int(number.group(1)):02d}_{number.group(2)}"
    return name, {**options, **given}


def _declared(folder: Path) -> str:
    path = folder / "dataset.json"
    return Dataset.load(path).submission if path.is_file() else ""


def _usual(folder: Path) -> str:
    number, description = DATASET_FOLDER.fullmatch(folder.name), folder / "dataset.json"
    pictures = description.is_file() and Dataset.load(description).file_ending in PLANAR_ENDINGS
    return _PLAIN if pictures or (number is not None and int(number.group(1)) >= _TASKS) else _USUAL
