"""Find the cases of a BraTS folder: which file plays which role, which edition a case is of, who its patient is."""

from __future__ import annotations

import csv
import functools
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.datasets import SourceCase
from autoseg.datasets.brats import CHANNELS, ROLES
from autoseg.datasets.files import folders_below, is_junk, natural
from autoseg.datasets.overlap import brats_group
from autoseg.io.images import image_ending, read_header
from autoseg.specs.dataset import Provenance

logger = logging.getLogger(__name__)
_CASE = re.compile(r"brats[-_]?(\d\d|20\d\d|gli|men|men-rt|met|ped|ssa|goat|tcia)[-_].*", re.IGNORECASE)
_ROLE_OF = {word: role for role, words in ROLES.items() for word in words}
_POST_TREATMENT_SHAPE = (182, 218, 182)
_MAPPING = "name_mapping.csv"
_GRADES = ("HGG", "LGG")
_DEPTH = 4


@dataclass(frozen=True)
class Found:
    """A case folder.

    Attributes:
        folder: Where it lies.
        case_id: Its name, with the grade before it where numbers start again for each grade (2013/15).
        files: Role -> file.
        mask: Brain mask of the re-shipped 2015 files.
        is_training: Whether it must have a label.
    """

    folder: Path
    case_id: str
    files: Mapping[str, Path] = field(default_factory=dict)
    mask: Path | None = None
    is_training: bool = True


def looks_like(source: Path) -> bool:
    """Whether a case folder with an image in a known role lies within a few levels."""
    return any(_CASE.fullmatch(folder.name) and _roles(folder) for folder in folders_below(source, depth=_DEPTH))


def find_cases(source: Path) -> tuple[Found, ...]:
    """Every case folder below `source`, in natural order.

    Raises:
        DatasetError: No cases, two files for one role, or a training case without label.
    """
    found = [
        _found(folder)
        for folder in folders_below(source, depth=_DEPTH)
        if not folder.name.upper().startswith("VSD.") and set(_roles(folder)) & set(CHANNELS)
    ]
    if not any(case.is_training for case in found):
        raise DatasetError(f"no labelled cases in {source}", "give the folder that holds the training cases' folders")
    for case in found:
        if case.is_training and "label" not in case.files:
            problem = f"{case.folder} has no segmentation"
            raise DatasetError(problem, "download it again or remove the folder", case_id=case.case_id)
    return tuple(sorted(found, key=lambda case: natural(case.case_id)))


def common_roles(found: Sequence[Found], *, said: bool = False) -> tuple[str, ...]:
    """Image roles that all cases have, in channel order; a role that no case has is dropped.

    Raises:
        DatasetError: Some cases lack a role that others have.
    """
    roles = []
    for role, name in CHANNELS.items():
        missing = [case for case in found if role not in case.files]
        if missing and len(missing) < len(found):
            problem = f"{missing[0].folder} has no {name}, which {len(found) - len(missing)} other case(s) have"
            raise DatasetError(problem, "download it again or remove the folder", case_id=missing[0].case_id)
        if not missing:
            roles.append(role)
        elif said:
            logger.warning("no case has %s: the channel is left out", name)
    return tuple(roles)


def source_case(case: Found, roles: Sequence[str], source: Path) -> SourceCase:
    """The case as converters list it."""
    details = {"edition": edition_of(case, source)}
    if case.mask is not None:
        details["mask"] = str(case.mask)
    earlier = _earlier_name(source, case.case_id)
    label = case.files.get("label")
    return SourceCase(
        case_id=case.case_id,
        images=tuple(case.files[role] for role in roles),
        label=label,
        split="train" if case.is_training else "test",
        has_label=label is not None,
        provenance=Provenance(
            source=f"BraTS {case.case_id}",
            patient=patient_of(earlier or case.case_id),
            overlap_group=brats_group(earlier or case.case_id),
        ),
        details=details,
    )


def edition_of(case: Found, source: Path) -> str:
    """Which labels a case has: by its name; by folder, time point or grid for glioma and metastases since 2023."""
    name = case.folder.name.lower()
    if name.startswith("brats-men-rt"):
        return "men_rt"
    years = re.findall(
        r"brats-?(20\d\d)", str(case.folder.resolve().relative_to(source.resolve().parent)), re.IGNORECASE
    )
    year = int(years[0]) if years else None
    if name.startswith("brats-ped"):
        return "2023" if year == 2023 else "ped"  # in its first year it had the adults' labels
    match = re.match(r"brats-(gli|met)-\d+-?(\d*)", name)
    if not match:
        return "2015" if re.match(r"brats_(2013|tcia)", name) else "2023" if name.startswith("brats-") else "2017"
    if match.group(1) == "met":
        return "2024" if year is not None and year >= 2025 else "2023"
    if year is not None:
        return "2023" if year < 2024 else "2024"
    # The post-treatment scans have time points from 100 and are on another grid.
    later = int(match.group(2) or 0) >= 100
    return "2024" if later or read_header(_first_image(case)).shape == _POST_TREATMENT_SHAPE else "2023"


def patient_of(case: str) -> str:
    """The person: the name without time point; adult glioma has the same numbers since 2021."""
    numbered = re.fullmatch(r"(BraTS-[A-Za-z-]+?-\d+)-\d+", case)
    if numbered:
        return numbered.group(1)
    old = re.fullmatch(r"BraTS2021_(\d{5})", case)
    if old:
        return f"BraTS-GLI-{old.group(1)}"
    if re.match(r"BraTS20_", case, re.IGNORECASE):
        return case
    return re.sub(r"_\d+$", "", re.sub(r"^Brats1\d_", "BraTS-", case, flags=re.IGNORECASE))


def _found(folder: Path) -> Found:
    grade = next((part for part in folder.parts[-2:-1] if part.upper() in _GRADES), None)
    repeats = grade is not None and re.match(r"brats_(2013|tcia)", folder.name, re.IGNORECASE)
    files = _roles(folder, strict=True)
    held_out = re.search(r"validat|testing|[_-]test", "/".join(folder.parts[-4:]), re.IGNORECASE)
    masks = [path for path in _images(folder) if "brainmask" in path.name.lower()]
    return Found(
        folder=folder,
        case_id=f"{grade}_{folder.name}" if repeats else folder.name,
        files=files,
        mask=masks[0] if masks else None,
        is_training="label" in files or not held_out,
    )


def _images(folder: Path) -> list[Path]:
    """Images of a case folder; those of 2013/15 lie one folder deeper, one folder per file."""
    inside = [folder, *(path for path in folder.iterdir() if path.is_dir() and path.name.upper().startswith("VSD."))]
    return sorted(
        path
        for each in inside
        for path in each.iterdir()
        if image_ending(path) and not is_junk(path) and path.is_file()
    )


def _roles(folder: Path, *, strict: bool = False) -> dict[str, Path]:
    """Role -> file.

    Raises:
        DatasetError: Two files for one role, or one file for two, where `strict`.
    """
    files: dict[str, Path] = {}
    for path in _images(folder):
        stem = path.name[: -len(image_ending(path) or "")].removeprefix(folder.name).lower()
        roles = {_ROLE_OF[word] for word in re.split(r"[\W_]+", stem) if word in _ROLE_OF}
        if strict and len(roles) > 1:
            raise DatasetError(f"{path} could be {' or '.join(sorted(roles))}", "rename it", case_id=folder.name)
        for role in roles:
            if strict and role in files:
                problem = f"{path} and {files[role].name} both are the {role} of one case"
                raise DatasetError(problem, "remove one", case_id=folder.name)
            files[role] = path
    return files


def _first_image(case: Found) -> Path:
    return next(case.files[role] for role in CHANNELS if role in case.files)


@functools.lru_cache(maxsize=8)
def _mapping(source: Path) -> Mapping[str, str]:
    """Name in 2020 -> name in the years before, by the table shipped with 2020."""
    names: dict[str, str] = {}
    for folder in folders_below(source, depth=2):
        if (folder / _MAPPING).is_file():
            with (folder / _MAPPING).open(newline="", encoding="utf-8-sig") as handle:
                for row in csv.DictReader(handle):
                    earlier = [row.get(f"BraTS_{year}_subject_ID") or "NA" for year in (2019, 2018, 2017)]
                    known = [name for name in earlier if name != "NA"]
                    if known and row.get("BraTS_2020_subject_ID"):
                        names[row["BraTS_2020_subject_ID"]] = known[0]
    return names


def _earlier_name(source: Path, case_id: str) -> str | None:
    return _mapping(source.resolve()).get(case_id) if case_id.lower().startswith("brats20_") else None
