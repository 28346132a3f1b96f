"""Take source files over into a raw data set, unchanged where nothing need change."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from autoseg.core.atomic import named_disk_errors, replacing
from autoseg.core.errors import DatasetError
from autoseg.io import nifti
from autoseg.io.images import NIFTI_ENDINGS, image_ending, read_image, read_label, write_image, write_label

JUNK_PREFIXES = (".", "_")
_WIDE = frozenset({"f8", "i8", "u8"})


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it byte for byte where links are not possible (another disk, no permission)."""
    with named_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)


def is_junk(path: Path) -> bool:
    """Whether a name is a left-over of an archive (`.DS_Store`, `._case.nii.gz`, `__MACOSX`)."""
    return path.name.startswith(JUNK_PREFIXES)


def take_image(source: Path, target: Path) -> None:
    """Link the file where format and type fit, else write its voxels anew with its header.

    Raises:
        DatasetError: It cannot be read, or has several channels.
    """
    if image_ending(source) == image_ending(target) and not _is_wide(source):
        link_or_copy(source, target)
        return
    image = read_image(source)
    if len(image.array) != 1:
        raise DatasetError(f"{source} has {len(image.array)} channels", "it should have one; download it again")
    write_image(target, image.array, image.geometry, like=source)


def take_label(source: Path, target: Path, *, image: Path, values: Mapping[int, int] | None = None) -> None:
    """Write a label map as integers on the grid and with the header of its image, voxel by voxel.

    Args:
        source: The challenge's file.
        target: File to write.
        image: The case's image, whose grid is the right one where the two headers differ.
        values: Challenge's value -> value to write; None keeps them.

    Raises:
        DatasetError: It cannot be read, has another shape than the image, or a value that `values` does not know.
    """
    labels, own = read_label(source)
    geometry = read_image(image).geometry if image_ending(image) not in NIFTI_ENDINGS else nifti.read_geometry(image)
    if own.shape != geometry.shape:
        raise DatasetError(
            f"{source} has the shape {own.shape}, its image {geometry.shape} (z, y, x)", "download both again"
        )
    if values is not None:
        unknown = sorted({int(value) for value in np.unique(labels)} - set(values))
        if unknown:
            declared = ", ".join(str(value) for value in sorted(values))
            raise DatasetError(f"{source} holds the label {unknown[0]}, known are {declared}", "mend the file")
        table = np.zeros(max(values) + 1, np.uint8)
        table[list(values)] = list(values.values())
        labels = table[labels]
    write_label(target, labels, geometry, like=image)


def volumes(folder: Path, pattern: str = r".*") -> dict[str, Path]:
    """Stem -> NIfTI file of a folder, numbers in stems in their natural order; empty where there is no folder.

    Args:
        folder: Looked into without its subfolders.
        pattern: Regular expression that stems must match fully.

    Raises:
        DatasetError: Two files of one stem, as `.nii` and `.nii.gz`.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural(path.name)) if folder.is_dir() else ():
        ending = image_ending(path)
        if ending not in NIFTI_ENDINGS or is_junk(path):
            continue
        stem = path.name[: -len(ending)]
        if not re.fullmatch(pattern, stem):
            continue
        if stem in found:
            raise DatasetError(f"{path} and {found[stem].name} are the same volume", "remove one", case_id=stem)
        found[stem] = path
    return found


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sorting key under which `case_10` follows `case_9`."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part)


def folders_below(source: Path, *, depth: int) -> Iterator[Path]:
    """A folder and those inside it, `depth` levels down, nearest first; archive left-overs are passed over."""
    level = [source] if source.is_dir() else []
    for _ in range(depth + 1):
        yield from level
        level = [
            child for folder in level for child in sorted(folder.iterdir()) if child.is_dir() and not is_junk(child)
        ]


def _is_wide(path: Path) -> bool:
    """Whether voxels are stored in eight bytes each, which no scan needs."""
    return image_ending(path) in NIFTI_ENDINGS and nifti.read_header(path).get_data_dtype().str[1:] in _WIDE
