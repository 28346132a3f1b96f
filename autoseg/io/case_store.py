"""Preprocessed cases on disk: compressed arrays of which a patch is read without reading the rest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save

from autoseg.core.atomic import PARTIAL_PREFIX, named_disk_errors
from autoseg.core.errors import DatasetError, SpecError
from autoseg.io._arrays import compressed, open_array, smallest_type, write_flushed
from autoseg.specs.case import CaseRecord

Image = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.signedinteger[Any]]

OUTSIDE = -1
"""Label of voxels outside the non-zero part of a case, and of padding."""
ANNOTATED = "annotated voxels"
"""Key of `locations` for voxels of any label but the ignore label; present where the data set has one."""
HALF_LIMIT = 1e4
"""Largest magnitude stored as float16, whose step there is 8."""

_RECORD, _LOCATIONS = "case.json", "locations.safetensors"
_IMAGE, _LABELS = "image.b2nd", "labels.b2nd"


def save_case(
    folder: Path,
    record: CaseRecord,
    image: Image,
    labels: npt.NDArray[np.integer[Any]] | None,
    locations: Mapping[str, npt.NDArray[np.integer[Any]]],
    *,
    patch_size_voxels: Sequence[int],
    half: bool = True,
) -> Path:
    """Write one case as the folder `folder/<case id>`, complete or not at all; an older one is replaced.

    Args:
        folder: Where the cases of one preprocessing are.
        record: How the case was made.
        image: (C, Z, Y, X).
        labels: (Z, Y, X), or None.
        locations: Class or region name -> (n, 3) voxel coordinates (z, y, x).
        patch_size_voxels: What is usually read at once; (y, x) in 2D. Decides the chunks.
        half: Store float16 (values up to `HALF_LIMIT`); False for intensities that were not normalised.

    Raises:
        StorageError: When the disk is full or the folder cannot be written.
    """
    if half and max(float(image.max()), -float(image.min())) <= HALF_LIMIT:
        image = image.astype(np.float16)
    with _complete_or_absent(folder, record.case_id) as partial:
        write_flushed(partial / _IMAGE, compressed(image.astype(image.dtype, order="C", copy=False), patch_size_voxels))
        if labels is not None:
            small = labels.astype(smallest_type(labels), order="C", copy=False)
            write_flushed(partial / _LABELS, compressed(small[None], patch_size_voxels))
        write_flushed(partial / _LOCATIONS, save({name: _narrow(points) for name, points in locations.items()}))
        write_flushed(partial / _RECORD, record.to_json().encode())
    return folder / record.case_id


def stored_cases(folder: Path) -> tuple[str, ...]:
    """Ids of the complete cases of a folder, sorted."""
    return tuple(sorted(path.parent.name for path in folder.glob(f"[!.]*/{_RECORD}")))


def stored_record(folder: Path, case_id: str) -> CaseRecord | None:
    """How a stored case was made, or None where there is none that can be read."""
    try:
        return CaseRecord.load(folder / case_id / _RECORD)
    except SpecError:
        return None


def renew_record(folder: Path, record: CaseRecord) -> None:
    """Replace the record of a stored case, whose arrays stay."""
    record.save(folder / record.case_id / _RECORD)


def remove_case(folder: Path, case_id: str) -> None:
    """Remove a stored case if there is one; the record goes first, so that a half removed case is no case."""
    (folder / case_id / _RECORD).unlink(missing_ok=True)
    shutil.rmtree(folder / case_id, ignore_errors=True)


class CaseCache:
    """Decompressed cases kept in memory until a limit; further cases are read from disk by the patch.

    Nothing is ever dropped: with patches drawn from random cases, replacing one case by another would decompress
    whole cases again and again.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._arrays: dict[Path, tuple[Image, Labels | None]] = {}

    def get(self, case: StoredCase) -> tuple[Image, Labels | None] | None:
        """Whole arrays of a case, or None where they do not fit."""
        if case.path not in self._arrays:
            size = case.nbytes
            if self.used_bytes + size > self.limit_bytes:
                return None
            self._arrays[case.path] = case.read()
            self.used_bytes += size
        return self._arrays[case.path]


class StoredCase:
    """One preprocessed case; files are opened on first use and a copy sent to another process opens its own.

    Args:
        folder: Where the cases of one preprocessing are.
        case_id: Name of the case.
        cache: Memory to keep small cases in, shared by the cases of one process.

    Raises:
        DatasetError: When the folder has no such case.
    """

    def __init__(self, folder: Path, case_id: str, cache: CaseCache | None = None) -> None:
        self.folder, self.case_id, self.cache = folder, case_id, cache
        self.path = folder / case_id
        if not self.exists(folder, case_id):
            raise DatasetError(f"no preprocessed case in {self.path}", "run preprocess", case_id=case_id)

    @staticmethod
    def exists(folder: Path, case_id: str) -> bool:
        """Whether the folder holds the complete case."""
        return (folder / case_id / _RECORD).is_file()

    def __reduce__(self) -> tuple[Any, ...]:
        limit = None if self.cache is None else self.cache.limit_bytes
        return (_reopen, (self.folder, self.case_id, limit))

    @cached_property
    def record(self) -> CaseRecord:
        """How the case was made."""
        return CaseRecord.load(self.path / _RECORD)

    @cached_property
    def locations(self) -> dict[str, npt.NDArray[np.signedinteger[Any]]]:
        """Class or region name -> (n, 3) voxel coordinates (z, y, x)."""
        return load_file(self.path / _LOCATIONS)

    @property
    def annotated(self) -> tuple[str, ...] | None:
        """Labels that the case annotates; None is all of them."""
        return self.record.annotated

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x)."""
        _, depth, height, width = self._image.shape
        return (int(depth), int(height), int(width))

    @property
    def channels(self) -> int:
        """Image channels."""
        return int(self._image.shape[0])

    @property
    def nbytes(self) -> int:
        """Size in memory of image and labels."""
        labels = self._labels
        return int(self._image.nbytes) + (0 if labels is None else int(labels.nbytes))

    def read(self) -> tuple[Image, Labels | None]:
        """Image (C, Z, Y, X), float16 or float32, and labels (Z, Y, X)."""
        labels = self._labels
        return self._image[:], None if labels is None else labels[0]

    def read_patch(self, start: Sequence[int], stop: Sequence[int]) -> tuple[Image, Labels | None]:
        """Box [start, stop) in voxels (z, y, x), which may reach beyond the case: there image 0 and label -1.

        Returns:
            Image (C, *(stop - start)), float16 or float32, and labels of the same extent.
        """
        inner = tuple(
            slice(min(max(first, 0), size), min(max(last, 0), size))
            for first, last, size in zip(start, stop, self.shape, strict=True)
        )
        image, labels = self._slice(inner)
        widths = [
            (part.start - first, last - part.stop) if part.start < part.stop else (0, last - first)
            for first, last, part in zip(start, stop, inner, strict=True)
        ]
        if not any(before or after for before, after in widths):
            return image, labels
        padded = np.pad(image, [(0, 0), *widths])
        return padded, None if labels is None else np.pad(labels, widths, constant_values=OUTSIDE)

    def _slice(self, box: tuple[slice, ...]) -> tuple[Image, Labels | None]:
        kept = None if self.cache is None else self.cache.get(self)
        if kept is not None:
            image, labels = kept
            return image[(slice(None), *box)], None if labels is None else labels[box]
        stored = self._labels
        return self._image[(slice(None), *box)], None if stored is None else stored[(0, *box)]

    @cached_property
    def _image(self) -> Any:
        return open_array(self.path / _IMAGE)

    @cached_property
    def _labels(self) -> Any:
        path = self.path / _LABELS
        return open_array(path) if path.is_file() else None


_process_caches: dict[int, CaseCache] = {}


def _reopen(folder: Path, case_id: str, limit_bytes: int | None) -> StoredCase:
    """A case in another process; those with equal limits share one cache there."""
    if limit_bytes is None:
        return StoredCase(folder, case_id)
    return StoredCase(folder, case_id, _process_caches.setdefault(limit_bytes, CaseCache(limit_bytes)))


def _narrow(points: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.signedinteger[Any]]:
    kind = np.int16 if points.size == 0 or points.max() <= np.iinfo(np.int16).max else np.int32
    narrow: npt.NDArray[np.signedinteger[Any]] = np.ascontiguousarray(points.reshape(-1, 3).astype(kind))
    return narrow


@contextmanager
def _complete_or_absent(folder: Path, case_id: str) -> Iterator[Path]:
    """A temporary folder that becomes `folder/case_id` when the block ends well and vanishes otherwise."""
    target, partial = folder / case_id, folder / f"{PARTIAL_PREFIX}{case_id}-{os.getpid()}"
    old = partial.with_name(partial.name + "-old")
    with named_disk_errors(target):
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            yield partial
            if target.exists():
                target.rename(old)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
