"""Pairs of masks with many lesions, made of numpy alone so that any environment makes the same ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

SEEDS = tuple(range(24))
SPACING_MM = (2.0, 1.0, 1.5)


def masks(seed: int, *, shape: tuple[int, ...] = (14, 22, 20)) -> tuple[Mask, Mask]:
    """Boxes that are found, missed, invented, split and joined: prediction and reference (Z, Y, X)."""
    generator = np.random.default_rng(seed)
    prediction, reference = np.zeros(shape, bool), np.zeros(shape, bool)
    for _ in range(generator.integers(4, 11)):
        start = np.array([generator.integers(0, size - 5) for size in shape])
        sizes = generator.integers(1, 6, 3)
        moved = np.clip(start + generator.integers(-2, 3, 3), 0, None)
        resized = np.clip(sizes + generator.integers(-2, 3, 3), 1, None)
        kind = generator.integers(0, 8)
        if kind != 0:
            reference[_box(start, sizes)] = True
        if kind != 1:
            prediction[_box(moved, resized)] = True
    prediction ^= generator.random(shape) < 0.002
    reference &= generator.random(shape) > 0.02
    return prediction, reference


def _box(start: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> tuple[slice, ...]:
    return tuple(slice(int(first), int(first + size)) for first, size in zip(start, sizes, strict=True))
