"""Studies below a folder: every header is read once, pixels never."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.io.archive import file_entry
from autoseg.io.dicom import Series, Slice, read_slice, sort_series

_PROBE_FILES = 20
_LEAST_SLICES = 3
_OTHER_ENDINGS = (".zip", ".gz", ".pdf", ".txt", ".xml", ".json", ".csv", ".png", ".jpg", ".exe", ".nii")


@dataclass(frozen=True)
class Study:
    """The series of one study, largest first, and what could not be used.

    Attributes:
        uid: Study identifier.
        series: Those of at least three slices, unless there is only one; each knows what was left out.
        files: Every file of the study.
        problem: Why the study cannot be read, empty if it can.
        cure: What to do about it.
    """

    uid: str
    series: tuple[Series, ...]
    files: tuple[str, ...]
    problem: str = ""
    cure: str = ""


def studies_in(source: Path) -> tuple[Study, ...]:
    """Every study below a folder, sorted by identifier."""
    return _scan(source, _listing(source))


def looks_like_dicom(source: Path) -> bool:
    """Whether one of the first files below a folder is DICOM."""
    return any(map(_is_dicom, _first_files(source)))


@functools.lru_cache(maxsize=1)
def _scan(source: Path, listing: tuple[tuple[str, int], ...]) -> tuple[Study, ...]:
    """Remembered: a conversion asks more than once, and a large tree takes a while."""
    slices: dict[str, list[Slice]] = {}
    broken: dict[Path, DatasetError] = {}
    for name, _ in listing:
        path = source / name
        try:
            found = read_slice(file_entry(path))
        except DatasetError as error:
            broken.setdefault(path.parent, error)
            continue
        if isinstance(found, Slice):
            slices.setdefault(found.study, []).append(found)
    studies = [_study(uid, items, broken) for uid, items in sorted(slices.items())]
    lonely = [
        Study("", (), (str(folder / "file"),), error.problem, error.cure) for folder, error in sorted(broken.items())
    ]
    return (*(study for study in studies if study.series or study.problem), *lonely)


def _study(uid: str, items: list[Slice], broken: dict[Path, DatasetError]) -> Study:
    """A damaged file spoils the study of its folder: without one of its slices a scan is not to be had."""
    series, aside = sort_series(items)
    large = tuple(one for one in series if len(one.slices) >= _LEAST_SLICES) or series[:1]
    aside += tuple(f"{one.title} is too small" for one in series if one not in large)
    files = tuple(item.where for item in items)
    damaged = sorted({Path(file).parent for file in files} & broken.keys())
    errors = [broken.pop(folder) for folder in damaged]
    problem, cure = (errors[0].problem, errors[0].cure) if errors else ("", "")
    return Study(uid, tuple(Series(one.slices, aside) for one in large), files, problem, cure)


def _listing(source: Path) -> tuple[tuple[str, int], ...]:
    """(path, time) of every file that may be DICOM."""
    found = []
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if not name.startswith(".") and name != "DICOMDIR" and path.suffix.lower() not in _OTHER_ENDINGS:
                found.append((path.relative_to(source).as_posix(), path.stat().st_mtime_ns))
    return tuple(found)


def _first_files(source: Path) -> list[Path]:
    found: list[Path] = []
    for folder, _, names in os.walk(source):
        found.extend(Path(folder) / name for name in sorted(names)[: _PROBE_FILES - len(found)])
        if len(found) >= _PROBE_FILES:
            break
    return found


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return handle.read(132)[128:] == b"DICM"
    except OSError:
        return False
