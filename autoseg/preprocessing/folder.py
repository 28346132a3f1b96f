"""Which folder a preprocessing section's cases are in, and what each was made from."""

from __future__ import annotations

import hashlib

from autoseg.specs.plan import Preprocessing

VERSION = 1
"""Raised whenever an unchanged case would come out differently, so that all are made again."""


def cases_digest(preprocessing: Preprocessing) -> str:
    """Suffix of the folder; configurations and methods with equal sections share it."""
    return hashlib.sha256(f"{VERSION} {preprocessing.digest()}".encode()).hexdigest()[:12]
