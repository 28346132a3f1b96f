"""A preprocessed case of a cascade: its own labels, and those that the previous stage gave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from autoseg.core.errors import DatasetError
from autoseg.training.loader import CaseReader


class LabelReader(Protocol):
    """Labels on the grid of a case (`autoseg.io.label_store.StoredLabels`)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x)."""

    def read_patch(self, start: Sequence[int], stop: Sequence[int]) -> npt.NDArray[np.integer]:
        """Labels (z, y, x) of a box inside of the volume."""


class CascadeCase:
    """Reads both label maps of a patch at once, so that augmentation moves them together.

    Args:
        case: The preprocessed case.
        previous: Labels of the previous stage on its grid.

    Raises:
        DatasetError: The two grids differ in shape.
    """

    def __init__(self, case: CaseReader, previous: LabelReader) -> None:
        self.case, self.previous = case, previous
        self.case_id = case.case_id
        if case.shape != previous.shape:
            raise DatasetError(
                f"the previous stage's labels of {case.case_id} have the shape {list(previous.shape)}, the case "
                f"{list(case.shape)}",
                "delete the labels; training makes them again",
                case_id=case.case_id,
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x)."""
        return self.case.shape

    @property
    def channels(self) -> int:
        """Image channels, without those that the previous labels become."""
        return self.case.channels

    @property
    def locations(self) -> Mapping[str, npt.NDArray[np.integer]]:
        """Sampled voxels per class of the own labels."""
        return self.case.locations

    @property
    def annotated(self) -> tuple[str, ...] | None:
        """Labels that the case annotates; None is all of them."""
        return self.case.annotated

    def read_patch(
        self, start: Sequence[int], stop: Sequence[int]
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.integer] | None]:
        """Image (C, z, y, x) and labels (2, z, y, x), own and previous, of a box inside of the volume."""
        image, labels = self.case.read_patch(start, stop)
        return image, None if labels is None else np.stack([labels, self.previous.read_patch(start, stop)])
