"""Which scans are in several public data sets: one string per scan, the same whatever data set it was taken from."""

from __future__ import annotations

import re

LITS_OF_FIRST_IRCADB = 28
"""LiTS 28 to 47 are patients 1 to 20 of 3D-IRCADb-01: their headers have lost the spacing, their slice counts agree."""
IRCADB_PATIENTS = 20


def lits_group(number: int) -> str:
    """A training case of LiTS; the Decathlon's Task03 has the same numbers."""
    return f"lits-{number}"


def ircadb_group(patient: int) -> str:
    """A patient of 3D-IRCADb-01, 1 to 20."""
    return lits_group(patient - 1 + LITS_OF_FIRST_IRCADB)


def ircadb_patient(lits_number: int) -> int | None:
    """The patient of 3D-IRCADb-01 that a training case of LiTS is, if it is one."""
    patient = lits_number - LITS_OF_FIRST_IRCADB + 1
    return patient if 1 <= patient <= IRCADB_PATIENTS else None


def kits_group(number: int) -> str:
    """A case of KiTS; the numbers are the same in 2019, 2021 and 2023."""
    return f"kits-{number:05d}"


def brats_group(case: str) -> str | None:
    """A case of BraTS: 2023's glioma set has the numbers of 2021, those of 2017 to 2019 share institution and number.

    None for 2020 (known from its name_mapping.csv alone) and for older names, whose counterparts are not published.
    """
    newer = re.fullmatch(r"BraTS-GLI-(\d{5}-\d{3})", case)
    if newer:
        return f"brats-gli-{newer.group(1)}"
    numbered = re.fullmatch(r"BraTS2021_(\d{5})", case)
    if numbered:
        return f"brats-gli-{numbered.group(1)}-000"
    older = re.fullmatch(r"Brats1[789]_(.+)", case, re.IGNORECASE)
    return f"brats-{older.group(1)}" if older else None
