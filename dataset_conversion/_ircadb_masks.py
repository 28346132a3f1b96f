"""Masks of 3D-IRCADb: one DICOM file per CT slice, 0 and one other value, paired by InstanceNumber and position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Shape3
from autoseg.io.archive import Entry
from autoseg.io.dicom import Slice, read_slice_and_pixels
from dataset_conversion._ircadb_structures import LIVER, TUMOUR

Mask = npt.NDArray[np.bool_]
_SAME_POSITION_MM = 0.01
_SAME_PIXEL_MM = 1e-3
_MOST_OUTSIDE = 0.05
_EXCHANGED_OUTSIDE = 0.5
_CURE = "download the masks of this patient again"


def read_mask(entries: Sequence[Entry], slices: Sequence[Slice]) -> Mask:
    """Mask (Z, Y, X) on the grid of sorted CT slices.

    Raises:
        DatasetError: A mask slice has no CT slice or the other way round, lies elsewhere, has another shape or pixel
            size, or holds two values besides 0.
    """
    index_of = {item.number: index for index, item in enumerate(slices)}
    if len(index_of) != len(slices):
        raise DatasetError(f"the slices beside {slices[0].where} have repeated instance numbers", "download them again")
    mask = np.zeros((len(slices), *slices[0].shape), dtype=bool)
    value = 0
    seen: dict[int, str] = {}
    for entry in entries:
        found, pixels = _paired(entry, slices, index_of)
        if found.number in seen:
            raise DatasetError(f"{entry.where} and {seen[found.number]} have the same instance number", _CURE)
        seen[found.number] = entry.where
        value = value or int(pixels.max())
        if ((pixels != 0) & (pixels != value)).any():
            other = pixels[(pixels != 0) & (pixels != value)][0]
            raise DatasetError(f"{entry.where} holds {other} beside 0 and {value}, so it is no mask", _CURE)
        mask[index_of[found.number]] = pixels > 0
    lost = [item for item in slices if item.number not in seen]
    if lost:
        folder = entries[0].where.rpartition("/")[0]
        raise DatasetError(f"{folder} has no slice for {lost[0].where} ({len(lost)} of {len(slices)} missing)", _CURE)
    return mask


def paint(masks: Mapping[str, Sequence[Mask]], *, shape: Shape3) -> npt.NDArray[np.uint8]:
    """Label map (Z, Y, X) with 1, 2, ... for structures in their order, later ones over earlier ones.

    Raises:
        DatasetError: Nothing is left of a structure, as where `skin`, the whole body, comes after the organs.
    """
    labels = np.zeros(shape, np.uint8)
    for value, parts in enumerate(masks.values(), start=1):
        for mask in parts:
            labels[mask] = value
    left = np.bincount(labels.ravel(), minlength=len(masks) + 1)
    for value, (name, parts) in enumerate(masks.items(), start=1):
        if not left[value] and any(mask.any() for mask in parts):
            cure = "name structures that contain others first in --structures ..."
            raise DatasetError(f"later structures cover all of '{name}'", cure)
    return labels


def check_liver(where: Path, masks: dict[str, Mask], named: Mapping[str, str]) -> list[tuple[str, str]]:
    """Drop tumour folders that lie away from the liver, and say so: published ones lie inside it to 98.5 %.

    Args:
        where: Folder or zip of the masks, for messages.
        masks: Folder -> mask; what is dropped is removed.
        named: Folder -> structure.

    Raises:
        DatasetError: No liver, or most of a tumour outside of it, as in exchanged masks.
    """
    livers = [mask for folder, mask in masks.items() if named[folder] == LIVER]
    if not livers or not livers[0].any():
        problem = f"{where} has no mask folder 'liver'" if not livers else f"the liver mask of {where} is empty"
        raise DatasetError(problem, "download it again, or name other structures with --structures ...")
    told = []
    for folder in [folder for folder in masks if named[folder] == TUMOUR]:
        voxels = np.count_nonzero(masks[folder])
        if not voxels:
            told.append((f"the mask {folder} is empty", "look at the label"))
            continue
        outside = 1 - float(np.count_nonzero(masks[folder] & livers[0])) / voxels
        text = f"{folder} of {where} lies {outside:.1%} outside of the liver"
        if outside > _EXCHANGED_OUTSIDE:
            raise DatasetError(text, "the masks are exchanged or belong to another scan; download them again")
        if outside > _MOST_OUTSIDE:
            told.append((f"{text} and is left out", "look at the label"))
            del masks[folder]
    return told


def _paired(entry: Entry, slices: Sequence[Slice], index_of: dict[int, int]) -> tuple[Slice, npt.NDArray[np.int32]]:
    image = read_slice_and_pixels(entry)
    if isinstance(image, str):
        raise DatasetError(f"{entry.where} {image}", "remove the file or download it again")
    found, pixels = image
    if found.number not in index_of:
        raise DatasetError(f"{entry.where} has the instance number {found.number}, which no CT slice has", _CURE)
    partner = slices[index_of[found.number]]
    if found.shape != partner.shape:
        raise DatasetError(
            f"{entry.where} has {found.shape} pixels, its CT slice {partner.shape} (rows, columns)", _CURE
        )
    if not np.allclose(found.pixel_mm, partner.pixel_mm, rtol=0, atol=_SAME_PIXEL_MM):
        raise DatasetError(f"{entry.where} has pixels of {found.pixel_mm} mm, its CT slice {partner.pixel_mm}", _CURE)
    apart = float(np.linalg.norm(np.subtract(found.position_mm, partner.position_mm)))
    if apart > _SAME_POSITION_MM or not np.allclose(
        (*found.row, *found.column), (*partner.row, *partner.column), atol=1e-3
    ):
        raise DatasetError(f"{entry.where} lies {apart:.3f} mm away from its CT slice {partner.where}", _CURE)
    return found, pixels
