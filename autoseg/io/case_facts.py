"""What the fingerprint remembers of each case, so that an unchanged case is not read again."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.core.atomic import replacing
from autoseg.core.errors import DatasetError, SpecError
from autoseg.specs.fingerprint import CaseFingerprint

logger = logging.getLogger(__name__)
VERSION = 3
"""Raised whenever the facts of an unchanged case would come out differently."""

Array = npt.NDArray[Any]
_ARRAYS = ("values", "counts", "moments")


@dataclass(frozen=True)
class CaseFacts:
    """One case.

    Attributes:
        signature: Names, sizes and times of its files when they were read.
        fingerprint: Shape, spacing, labels.
        intensities: Per channel the arrays of an intensity summary: values, counts, moments.
    """

    signature: str
    fingerprint: CaseFingerprint
    intensities: tuple[tuple[Array, Array, Array], ...]


def signature(files: Sequence[Path]) -> str:
    """Changes when a file is renamed, resized or written to.

    Raises:
        DatasetError: A file cannot be looked at.
    """
    try:
        stats = [(path.name, path.stat()) for path in files]
    except OSError as error:
        raise DatasetError(f"cannot read {error.filename} ({error.strerror})", "restore the file") from error
    return json.dumps([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])


def content_digest(files: Sequence[Path]) -> str:
    """24 hexadecimal digits of the bytes of all files.

    Raises:
        DatasetError: A file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=12)
    for path in files:
        try:
            with path.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "blake2b").digest())
        except OSError as error:
            raise DatasetError(f"cannot read {path} ({error.strerror})", "restore the file") from error
    return digest.hexdigest()


def load_facts(path: Path, setting: str) -> dict[str, CaseFacts]:
    """Remembered cases by id; none when the file is missing, damaged, of another version or setting."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            index = json.loads(bytes(stored["index"]))
            if index["version"] != VERSION or index["setting"] != setting:
                return {}
            return _unpacked(index["cases"], {name: stored[name] for name in _ARRAYS})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, SpecError) as error:
        logger.warning("%s is damaged (%s); all cases are read again", path, error)
        return {}


def save_facts(path: Path, setting: str, facts: Mapping[str, CaseFacts]) -> None:
    """Write all cases to one file, atomically.

    Args:
        path: Ends in `.npz`.
        setting: What else the facts depend on, e.g. the ignore label.
        facts: By case id.
    """
    index = [
        {
            "signature": facts[case].signature,
            "fingerprint": facts[case].fingerprint.model_dump(mode="json"),
            "lengths": [len(values) for values, _, _ in facts[case].intensities],
        }
        for case in sorted(facts)
    ]
    channels = [channel for case in sorted(facts) for channel in facts[case].intensities]
    arrays = {
        name: np.concatenate([channel[position] for channel in channels]) if channels else np.empty(0)
        for position, name in enumerate(_ARRAYS)
    }
    text = json.dumps({"version": VERSION, "setting": setting, "cases": index})
    with replacing(path) as temporary:
        np.savez(temporary, index=np.frombuffer(text.encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]


def _unpacked(index: Sequence[Mapping[str, object]], arrays: Mapping[str, Array]) -> dict[str, CaseFacts]:
    facts = {}
    start, channel = 0, 0
    for entry in index:
        parsed = CaseFingerprint.model_validate_json(json.dumps(entry["fingerprint"]))
        intensities = []
        lengths = entry["lengths"]
        if not isinstance(lengths, list):
            raise ValueError("lengths is not a list")
        for length in lengths:
            stop = start + length
            moments = arrays["moments"][4 * channel : 4 * channel + 4]
            intensities.append((arrays["values"][start:stop], arrays["counts"][start:stop], moments))
            start, channel = stop, channel + 1
        facts[parsed.case_id] = CaseFacts(str(entry["signature"]), parsed, tuple(intensities))
    return facts
