"""Find the patients of 3D-IRCADb and their files: folders, zips, zips in zips, doubled folders."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autoseg.core.errors import DatasetError
from autoseg.datasets import SourceCase
from autoseg.datasets.files import is_junk
from autoseg.io.archive import Entry, opened

IMAGES, MASKS = "PATIENT_DICOM", "MASKS_DICOM"
_PATIENT = re.compile(r"3d-?ircadb-?0?([12])[._](\d+)(?:\.zip)?", re.IGNORECASE)
_SET = re.compile(r"3d-?ircadb-?0?([12])?", re.IGNORECASE)
_DEPTH = 3


@dataclass(frozen=True, order=True)
class Patient:
    """One patient of 3D-IRCADb.

    Attributes:
        collection: 1 or 2, for 3D-IRCADb-01 and -02.
        number: From 1.
        root: Its folder or zip, or the zip of the whole collection.
    """

    collection: int
    number: int
    root: Path

    @property
    def case_id(self) -> str:
        """`ircadb01_17`."""
        return f"ircadb{self.collection:02d}_{self.number:02d}"

    def has_name(self, name: str) -> bool:
        """Whether a folder or zip is called like this patient."""
        return _numbers(name) == (self.collection, self.number)


def patients_in(source: Path) -> tuple[Patient, ...]:
    """Every patient below a folder or in a zip, sorted; a folder is preferred to a zip of the same patient.

    Raises:
        DatasetError: The zip of a whole collection is damaged.
    """
    found: dict[tuple[int, int], Patient] = {}
    for numbers, root in _named(source, depth=0):
        found.setdefault(numbers, Patient(*numbers, root))
    return tuple(sorted(found.values()))


def refuse_twins(source: Path) -> None:
    """Refuse two folders, or two zips, of one patient: nobody can say which is right.

    Raises:
        DatasetError: Names both.
    """
    seen: dict[tuple[tuple[int, int], bool], Path] = {}
    for numbers, root in _named(source, depth=0):
        if _numbers(root.name) == numbers:  # not the zip of the whole collection
            other = seen.setdefault((numbers, root.is_dir()), root)
            if other != root:
                raise DatasetError(f"{other} and {root} are the same patient", "remove one")


def part_of(patient: Patient, name: str) -> Path:
    """The file or folder that holds one part (`PATIENT_DICOM`, `MASKS_DICOM`); its root where it is not beside it."""
    if patient.root.is_file():
        return patient.root
    unpacked = [path for path in patient.root.rglob(name) if path.is_dir() and any(map(Path.is_file, path.rglob("*")))]
    if unpacked:
        return max(unpacked, key=lambda path: len(path.parts))
    return next(iter(sorted(patient.root.rglob(f"{name}.zip"))), patient.root)


@contextlib.contextmanager
def files_of(case: SourceCase, name: str) -> Iterator[dict[str, tuple[Entry, ...]]]:
    """Yield folder name -> files of one part of a case; the images' folder is ''.

    Raises:
        DatasetError: A zip is damaged, or the part is not there.
    """
    patient = Patient(int(case.details["collection"]), int(case.details["number"]), Path(case.details["root"]))
    part = part_of(patient, name)

    def wanted(path: PurePosixPath) -> bool:
        return path.name.lower() == f"{name}.zip".lower() or patient.has_name(path.name)

    with opened(part, into=wanted) as entries:
        folders: dict[str, list[Entry]] = {}
        for entry in entries:
            below = _below(entry.path, name)
            mine = part != patient.root or any(patient.has_name(word) for word in entry.path.parts)
            if below is not None and mine:
                folder = below.parent.name if name == MASKS else ""
                folders.setdefault(folder, []).append(entry)
        if not folders:
            raise DatasetError(f"{patient.root} holds no {name} with files for {patient.case_id}", "download it again")
        yield {folder: tuple(files) for folder, files in folders.items()}


def _named(source: Path, *, depth: int) -> Iterator[tuple[tuple[int, int], Path]]:
    numbers = _numbers(source.name)
    if numbers is not None and (source.is_dir() or source.suffix == ".zip"):
        yield numbers, source
    elif source.is_file() and source.suffix == ".zip" and _SET.fullmatch(source.stem):
        with opened(source, into=_into_none) as entries:
            names = {word for entry in entries for word in entry.path.parts}
        yield from ((inside, source) for name in names if (inside := _numbers(name)) is not None)
    elif source.is_dir() and depth < _DEPTH:
        # Folders before zips: what is unpacked is read faster.
        for path in sorted(source.iterdir(), key=lambda path: (path.is_file(), path.name)):
            if not is_junk(path):
                yield from _named(path, depth=depth + 1)


def _into_none(_: PurePosixPath) -> bool:
    return False


def _numbers(name: str) -> tuple[int, int] | None:
    match = _PATIENT.fullmatch(name)
    return (int(match.group(1)), int(match.group(2))) if match else None


def _below(path: PurePosixPath, name: str) -> PurePosixPath | None:
    """The path below the last folder (or zip) called `name`."""
    words = [word.lower().removesuffix(".zip") for word in path.parts[:-1]]
    if name.lower() not in words:
        return None
    last = len(words) - 1 - words[::-1].index(name.lower())
    return PurePosixPath(*path.parts[last + 1 :])
