"""How far two folders of masks agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.io.images import read_label
from autoseg.io.label_files import find_label_files


@dataclass(frozen=True)
class Agreement:
    """Of masks with references.

    Attributes:
        dice: Of every case and label that one of them has.
        differing: Voxels that differ, all cases together.
        voxels: All voxels.
    """

    dice: tuple[float, ...]
    differing: int
    voxels: int

    @property
    def mean(self) -> float | None:
        """Mean Dice; None without any label."""
        return float(np.mean(self.dice)) if self.dice else None

    def describe(self) -> dict[str, object]:
        """For a table."""
        mean = self.mean
        return {
            "mean Dice": None if mean is None else round(mean, 6),
            "least": round(min(self.dice), 6) if self.dice else None,
            "voxels that differ": f"{self.differing} of {self.voxels}",
        }


def compare_masks(references: Path, masks: Path) -> Agreement:
    """Dice of every label of every case.

    Raises:
        SystemExit: The folders hold other cases.
    """
    theirs, ours = find_label_files(references), find_label_files(masks)
    if theirs.keys() != ours.keys():
        raise SystemExit(f"{references} and {masks} hold other cases: {sorted(theirs.keys() ^ ours.keys())}")
    dice, differing, voxels = [], 0, 0
    for case, path in theirs.items():
        one, other = read_label(path)[0], read_label(ours[case])[0]
        differing, voxels = differing + int((one != other).sum()), voxels + one.size
        for label in np.union1d(one, other):
            if label > 0:
                sizes = int((one == label).sum()) + int((other == label).sum())
                dice.append(2 * int(((one == label) & (other == label)).sum()) / sizes)
    return Agreement(tuple(dice), differing, voxels)
