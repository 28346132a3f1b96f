"""One name per structure, whatever a data set calls it: what joining data sets goes by."""

from __future__ import annotations

import re
from collections.abc import Mapping

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

_CANONICAL = {other: name for name, others in SYNONYMS.items() for other in others}


def canonical(name: str) -> str:
    """The common name of a label; an unknown one in lower case with underscores."""
    plain = _plain(name)
    return _CANONICAL.get(plain, plain)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower().replace("tumour", "tumor")).strip("_")
