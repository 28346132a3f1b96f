"""Agreement of two folders of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.core.geometry import Geometry
from autoseg.io.images import write_label
from benchmarks._masks import Agreement, compare_masks


def write(folder: Path, **masks: np.ndarray) -> Path:
    folder.mkdir()
    for name, mask in masks.items():
        write_label(folder / f"{name}.nii.gz", mask, Geometry(mask.shape, (1.0, 1.0, 1.0)))
    return folder


def test_dice_of_every_label_that_one_side_has(tmp_path: Path) -> None:
    one = np.zeros((4, 4, 4), np.uint8)
    one[:2], one[2] = 1, 2
    other = one.copy()
    other[1], other[2] = 0, 0
    empty = np.zeros_like(one)
    references = write(tmp_path / "a", first=one, second=empty)
    found = compare_masks(references, write(tmp_path / "b", first=other, second=empty))
    assert found == Agreement((2 * 16 / (32 + 16), 0.0), differing=32, voxels=128)
    assert found.mean == pytest.approx(1 / 3)
    assert found.describe() == {"mean Dice": 0.333333, "least": 0.0, "voxels that differ": "32 of 128"}
    assert compare_masks(references, references).dice == (1.0, 1.0)


def test_nothing_to_compare_has_no_mean() -> None:
    assert Agreement((), 0, 10).mean is None


def test_other_cases_are_refused(tmp_path: Path) -> None:
    mask = np.zeros((2, 2, 2), np.uint8)
    references, masks = write(tmp_path / "a", first=mask), write(tmp_path / "b", second=mask)
    with pytest.raises(SystemExit, match=r"hold other cases: \['first', 'second'\]"):
        compare_masks(references, masks)
