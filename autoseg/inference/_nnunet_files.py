"""What lies in a results folder or zip of nnU-Net v2: trained configurations, documents, checkpoints, cleaning."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from autoseg.core.errors import SpecError
from autoseg.core.registry import nearest
from autoseg.io.archive import READ_ERRORS, Entry, opened
from autoseg.io.nnunet_checkpoint import LARGEST_WEIGHTS_BYTES, Checkpoint

PLANS, DATASET, FINGERPRINT, CHOICE = (
    "plans.json",
    "dataset.json",
    "dataset_fingerprint.json",
    "inference_information.json",
)
CLEANING = "postprocessing.pkl"
FOLD = re.compile(r"fold_(\d+|all)")
LARGEST_DOCUMENT_BYTES = 64 * 2**20
_BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Trained:
    """One configuration's folder.

    Attributes:
        path: Its path.
        files: File name -> entry, of the folder itself.
        folds: Fold -> file name -> entry.
    """

    path: PurePosixPath
    files: dict[str, Entry] = field(default_factory=dict)
    folds: dict[str, dict[str, Entry]] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """Trainer and plans, which the folder's name holds; configurations of one group belong together."""
        return self.path.name.rpartition("__")[0]

    @property
    def configuration(self) -> str:
        """From the folder's name."""
        return self.path.name.rpartition("__")[2]

    def document(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder.

        Raises:
            SpecError: It is missing, too large, or no JSON object.
        """
        if name not in self.files:
            raise SpecError(f"{self.path} has no {name}", "copy the model folder again")
        return read_document(self.files[name])

    def chosen_folds(self, asked: Sequence[str], checkpoint: str) -> dict[str, Entry]:
        """Fold -> checkpoint. Numbered folds come before `all`, as nnU-Net has it.

        Raises:
            SpecError: A fold was not trained, or lacks that checkpoint.
        """
        numbered = sorted((fold for fold in self.folds if fold != "all"), key=int)
        file, chosen = f"checkpoint_{checkpoint}.pth", {}
        for fold in asked or numbered or list(self.folds):
            if fold not in self.folds:
                raise SpecError(f"{self.path} has no fold '{fold}'", nearest(fold, self.folds))
            if file not in self.folds[fold]:
                there = ", ".join(sorted(self.folds[fold])) or "no checkpoint"
                raise SpecError(
                    f"{self.path}/fold_{fold} has no {file} ({there})", "name another with --checkpoint, or other folds"
                )
            chosen[fold] = self.folds[fold][file]
        return chosen


@dataclass(frozen=True)
class Results:
    """What nnU-Net left.

    Attributes:
        trained: Configurations.
        choice: Its own choice among them, where it made one.
        cleaning: Path -> `postprocessing.pkl`, one in the folder of every cross-validation that was cleaned.
    """

    trained: tuple[Trained, ...]
    choice: dict[str, Any] | None
    cleaning: dict[PurePosixPath, Entry]


@contextlib.contextmanager
def opened_results(source: Path) -> Iterator[Results]:
    """Yield what is there, open for reading.

    Args:
        source: Folder of a configuration or of a data set, or a zip of either.

    Raises:
        SpecError: Nothing trained, or a file twice.
        DatasetError: A zip is damaged, or has members outside of itself.
    """
    with opened(source, into=lambda _: False) as entries:
        known: dict[PurePosixPath, Entry] = {}
        for entry in entries:
            if entry.path in known:
                raise SpecError(f"{source} has '{entry.path}' twice", "do not use it")
            known[entry.path] = entry
        found = {path.parent: Trained(path.parent) for path in known if path.name == PLANS}
        for path, entry in known.items():
            if path.parent in found:
                found[path.parent].files[path.name] = entry
            fold = FOLD.fullmatch(path.parent.name)
            if fold and path.parent.parent in found:
                files = found[path.parent.parent].folds.setdefault(fold.group(1), {})
                if path.suffix == ".pth":
                    files[path.name] = entry
        trained = tuple(each for each in found.values() if any(each.folds.values()))
        if not trained:
            raise SpecError(f"{source} has no trained fold", "name nnU-Net's folder with plans.json and fold_0")
        choice = next((entry for path, entry in known.items() if path.name == CHOICE), None)
        cleaning = {path: entry for path, entry in known.items() if path.name == CLEANING}
        yield Results(trained, None if choice is None else read_document(choice), cleaning)


@contextlib.contextmanager
def opened_checkpoint(entry: Entry) -> Iterator[Checkpoint]:
    """Yield a fold's checkpoint; from a zip it is first copied to a temporary file, since it needs random access.

    Raises:
        SpecError: It cannot be read from its zip, or is too large.
        CheckpointError: It is damaged, or holds more than weights.
    """
    with entry.open() as handle:
        if not isinstance(handle, zipfile.ZipExtFile):
            yield Checkpoint(handle, entry.where)
            return
        with tempfile.TemporaryFile() as spool:
            _spool(handle, spool, entry.where)
            yield Checkpoint(spool, entry.where)


def read_document(entry: Entry) -> dict[str, Any]:
    """A JSON object.

    Raises:
        SpecError: It is too large, damaged, or something else.
    """
    try:
        with entry.open() as handle:
            content = handle.read(LARGEST_DOCUMENT_BYTES + 1)
        values = json.loads(content) if len(content) <= LARGEST_DOCUMENT_BYTES else None
    except (ValueError, RecursionError, *READ_ERRORS) as error:
        raise SpecError(f"{entry.where} is not valid JSON ({error})", "copy it again") from error
    if not isinstance(values, dict):
        raise SpecError(
            f"{entry.where} is not a JSON object of less than {LARGEST_DOCUMENT_BYTES} bytes", "copy it again"
        )
    return values


def _spool(source: IO[bytes], target: IO[bytes], where: str) -> None:
    size = 0
    try:
        while block := source.read(_BLOCK_BYTES):
            size += len(block)
            if size > LARGEST_WEIGHTS_BYTES:
                raise SpecError(f"{where} has more than {LARGEST_WEIGHTS_BYTES} bytes", "do not use it")
            target.write(block)
    except READ_ERRORS as error:
        raise SpecError(f"{where} cannot be read ({error})", "copy it again") from error
