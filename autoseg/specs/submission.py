"""`manifest.json`: what a submission holds and what made it."""

from __future__ import annotations

from autoseg.specs.document import Document, Section
from autoseg.specs.prediction import PredictionRecord


class SubmittedFile(Section):
    """One mask."""

    case: str
    """Case id; empty for files taken over from another archive."""
    path: str
    """Name in the archive."""
    sha256: str
    """Digest of the file."""


class Manifest(Document):
    """A submission."""

    format: str
    """Submission format."""
    dataset: str
    """Folder name of the data set whose test cases are answered."""
    archive: str
    """File or folder name, beside this document."""
    sha256: str
    """Digest of the archive; of a folder, of its files' names and digests."""
    files: tuple[SubmittedFile, ...]
    """Sorted by path."""
    prediction: PredictionRecord | None
    """What made the masks, where their folder says so."""
    versions: dict[str, str]
    """Package -> version."""
