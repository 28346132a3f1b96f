"""One name per structure, whatever a data set calls it: what joining data sets goes by."""

from __future__ import annotations

import re
from collections.abc import Mapping

from autoseg.core.labels import LabelSpace

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "aorta": ("arota",),  # as AMOS22 spells it
    "bladder": ("urinary_bladder",),
    "cyst": ("kidney_cyst", "livercyst", "liverkyst", "liverkyste"),
    "edema": ("oedema", "peritumoral_edema", "snfh"),
    "enhancing_tumor": ("et", "enhancing", "active_tumor"),
    "esophagus": ("oesophagus",),
    "gallbladder": ("gall_bladder",),
    "inferior_vena_cava": ("postcava", "venacava", "ivc"),
    "left_adrenal_gland": ("leftsurrenalgland", "adrenal_gland_left"),
    "left_kidney": ("leftkidney", "kidney_left"),
    "left_lung": ("leftlung",),
    "non_enhancing_tumor": ("netc", "non_enhancing"),
    "portal_vein": ("portalvein", "portalvein1"),
    "right_adrenal_gland": ("rightsurrenalgland", "adrenal_gland_right"),
    "right_kidney": ("rightkidney", "kidney_right"),
    "right_lung": ("rightlung",),
    "tumor": ("tumour", "cancer", "lesion", "livertumor", "liver_tumor", "kidney_tumor"),
    "tumor_core": ("tc",),
    "whole_tumor": ("wt",),
}
"""Canonical name -> other names in public data sets, in the form of `_plain`."""

LESION = re.compile(r"tumou?r|lesion|cancer|metasta|cyst|mass", re.IGNORECASE)
"""Names of what grows in an organ."""

_CANONICAL = {other: name for name, others in SYNONYMS.items() for other in others}


def canonical(name: str) -> str:
    """The common name of a label; an unknown one in lower case with underscores."""
    plain = _plain(name)
    return _CANONICAL.get(plain, plain)


def lesion_hosts(space: LabelSpace) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """(lesion values, organ values) of every organ whose lesions have labels of their own.

    All lesions belong to the organ where there is one only; among several organs, to the one that their name holds
    (`kidney_tumor`, `kidney`). Regions may overlap: an organ's values come without those of its lesions.
    """
    named = tuple(zip(space.names, space.values, strict=True))
    lesions = {name: values for name, values in named if LESION.search(name)}
    organs = {name: values for name, values in named if name not in lesions}
    grown = {value for values in lesions.values() for value in values}
    found = []
    for organ, values in organs.items():
        words = set(_plain(organ).split("_"))
        own = [name for name in lesions if len(organs) == 1 or words <= set(_plain(name).split("_"))]
        inside = tuple(sorted({value for name in own for value in lesions[name]}))
        healthy = tuple(sorted(set(values) - grown))
        if inside and healthy:
            found.append((inside, healthy))
    return tuple(found)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower().replace("tumour", "tumor")).strip("_")
