"""The names of 3D-IRCADb's mask folders, and how many liver tumour folders each patient was published with.

Counted in the download and compared with github.com/mjirik/bodynavigation (`files/3Dircadb1.json`) and the data set's
page at ircad.fr: 15 of 20 patients have liver tumours. Patients 5, 7 and 14 have look-alikes (`leftsurretumor`,
`rightsurretumor` and `tumor` are adrenal, `metastasectomie` is a resection bed), so only `livertumor...` counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dataset_conversion._ircadb_facts import SLICES

LIVER = "liver"
TUMOUR = "livertumor"
_TUMOUR_FOLDER = re.compile(r"livertumors?\d*")
_ALIASES = {"portalvein1": "portalvein", "liverkyst": "livercyst", "liverkyste": "livercyst"}
# A whole is also there where both of its sides are.
_SIDES = {
    "kidneys": ("leftkidney", "rightkidney"),
    "lungs": ("leftlung", "rightlung"),
    "surrenalgland": ("leftsurrenalgland", "rightsurrenalgland"),
}
_NAMES = """
    artery aorta biliarysystem bladder bone colon duodenum gallbladder heart hyperplasie kidneys leftkidney rightkidney
    leftlung rightlung lungs liver livercyst livertumor lymphnodes metal metastasectomie pancreas portalvein sigmoid
    skin smallintestin spleen stomach stomachoesophage stones surrenalgland leftsurrenalgland rightsurrenalgland
    leftsurretumor rightsurretumor tumor uterus venacava venoussystem
"""
STRUCTURES = frozenset(_NAMES.split())
# Patients of 3D-IRCADb-01 that have not exactly one liver tumour folder.
_TUMOUR_FOLDERS = {1: 7, 8: 3, 17: 2, **dict.fromkeys((5, 7, 11, 14, 20), 0)}


def structure_of(folder: str) -> str:
    """The structure that a mask folder holds, or its lower-case name; many spellings occur."""
    name = folder.lower()
    return TUMOUR if _TUMOUR_FOLDER.fullmatch(name) else _ALIASES.get(name, name)


def parts_of(structure: str, available: Iterable[str]) -> tuple[str, ...]:
    """Structures among `available` whose union is the wanted one; empty if it is not complete."""
    names = frozenset(available)
    sides = _SIDES.get(structure, ())
    if structure in names:
        return (structure, *(side for side in sides if side in names))
    return sides if sides and names.issuperset(sides) else ()


def unexpected(number: int, *, slices: int, tumour_folders: int) -> tuple[str, str]:
    """How a patient of 3D-IRCADb-01 differs from the published one: (slices, tumour folders), empty where equal."""
    if number not in SLICES:
        return "", ""
    expected = _TUMOUR_FOLDERS.get(number, 1)
    wrong_slices = f"{slices} slices, published are {SLICES[number]}" if slices != SLICES[number] else ""
    wrong_folders = f"{tumour_folders} liver tumour folders, published are {expected}"
    return wrong_slices, wrong_folders if tumour_folders != expected else ""
