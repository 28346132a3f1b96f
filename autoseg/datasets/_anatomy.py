"""Warnings that need to know what labels mean: lesions away from their organ, livers in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt

from autoseg.core.labels import LabelSpace
from autoseg.datasets.label_names import LESION

Array = npt.NDArray[Any]
_LARGE_SHARE = 0.1
_OUTSIDE_SHARE = 0.05


def anatomy_warnings(labels: Array, space: LabelSpace) -> Iterator[tuple[str, str]]:
    """(problem, cure) for a label map (Z, Y, X) with one organ and its lesions; nothing for other label sets."""
    lesion, organ, organ_name = _roles(space)
    if not organ or (not lesion and "liver" not in organ_name.lower()):
        return
    organ_mask = np.isin(labels, organ)
    lesion_mask = np.isin(labels, lesion)
    if not organ_mask.any():
        return
    parts = cc3d.connected_components(np.asfortranarray(organ_mask | lesion_mask), connectivity=26)
    counts = np.bincount(parts.ravel())
    with_organ = np.zeros(len(counts), dtype=bool)
    with_organ[np.unique(parts[organ_mask])] = True
    lesion_voxels = np.count_nonzero(lesion_mask)
    outside = np.count_nonzero(~with_organ[parts[lesion_mask]])
    if lesion_voxels and outside / lesion_voxels > _OUTSIDE_SHARE:
        yield f"{outside / lesion_voxels:.0%} of the lesion voxels do not touch the {organ_name}", "look at the label"
    large = np.count_nonzero(counts[1:] > _LARGE_SHARE * counts[1:].max())
    if "liver" in organ_name.lower() and large > 1:
        yield f"the {organ_name} has {large} large pieces", "look at the label"


def _roles(space: LabelSpace) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    """Lesion values, organ values and the organ's name, where exactly one organ is labelled."""
    lesion = {value for name, values in _named(space) if LESION.search(name) for value in values}
    organs = [(name, values) for name, values in _named(space) if not LESION.search(name)]
    if len(organs) != 1:
        return (), (), ""
    name, values = organs[0]
    return tuple(sorted(lesion)), tuple(sorted(set(values) - lesion)), name


def _named(space: LabelSpace) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple(zip(space.names, space.values, strict=True))
