"""`manifest.json` of a packed model: every file with its size and digest."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autoseg.specs.document import Document, Section

MANIFEST_FILE = "manifest.json"


class PackedFile(Section):
    """One file."""

    bytes: int = Field(ge=0)
    """Its size."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Its digest."""


class Package(Document):
    """What a packed model consists of; anything else in the file is refused."""

    kind: Literal["autoseg-model"] = "autoseg-model"
    """What is packed."""
    files: dict[str, PackedFile]
    """Path inside the model folder -> size and digest; the manifest itself is not listed."""
