"""Masks with false components, made of real hippocampus references by seed: read by the test and by the script."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

SCENARIOS: Mapping[str, tuple[int, ...]] = {
    "islands of both": (1, 2),
    "islands of one": (1,),
    "islands and cuts": (1, 2),
}
"""Name -> labels that get false components; in the last one the posterior part also falls into two true pieces."""


def perturb(case_id: str, reference: np.ndarray, scenario: str) -> np.ndarray:
    """A mask (Z, Y, X) like a network's: moved by a voxel, with one to three boxes of a label in empty corners."""
    generator = np.random.default_rng(zlib.crc32(f"{case_id} {scenario}".encode()))
    mask = np.roll(reference, int(generator.integers(-1, 2)), axis=int(generator.integers(0, 3)))
    if "cuts" in scenario:
        middle = int(np.median(np.nonzero(mask == 2)[1]))
        mask[:, middle : middle + 2][mask[:, middle : middle + 2] == 2] = 0
    for label in SCENARIOS[scenario]:
        for _ in range(int(generator.integers(1, 4))):
            edges = generator.integers(1, 4, 3)
            start = [int(generator.integers(0, size - edge)) for size, edge in zip(mask.shape, edges, strict=True)]
            place = tuple(slice(at, at + int(edge)) for at, edge in zip(start, edges, strict=True))
            mask[place][mask[place] == 0] = label
    return mask.astype(np.uint8)
