"""Pairs of masks for the surface metrics, made of numpy alone so that any environment makes the same ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

SPACINGS_MM = ((1.0, 1.0, 1.0), (5.0, 0.7, 0.7), (1.6, 0.743, 0.743), (0.5, 2.0, 1.3))
SEEDS = (0, 1, 2)
TOLERANCES_MM = (0.5, 1.0, 1.6, 3.0)


def masks(seed: int, *, shape: tuple[int, ...] = (24, 40, 44)) -> tuple[Mask, Mask]:
    """A bumpy, liver-like ellipsoid (reference) and a moved, differently bumpy one with a false lesion (prediction).

    The prediction of seed 1 touches the border of the array.
    """
    generator = np.random.default_rng(seed)
    reference = _blob(generator, shape, shift=0.0)
    prediction = _blob(generator, shape, shift=0.04 + 0.03 * seed)
    corner = generator.integers(1, 5, size=3)
    z, y, x = (slice(int(start), int(start) + 3) for start in corner)
    prediction[z, y, x] = True
    if seed == 1:
        prediction[:2, shape[1] // 2 :, -3:] = True
    noise = generator.random(shape) < 0.002
    return prediction ^ noise, reference


def _blob(generator: np.random.Generator, shape: tuple[int, ...], *, shift: float) -> Mask:
    axes: list[Any] = [np.linspace(-1, 1, size) for size in shape]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt(((z - shift) / 0.75) ** 2 + ((y + shift) / 0.7) ** 2 + ((x - shift) / 0.8) ** 2)
    bumps = np.zeros(shape)
    for frequency, phase, amplitude in zip(
        generator.uniform(2, 9, (6, 3)), generator.uniform(0, 6.28, 6), generator.uniform(0.01, 0.05, 6), strict=True
    ):
        bumps += amplitude * np.sin(frequency[0] * z + frequency[1] * y + frequency[2] * x + phase)
    return np.asarray(radius + bumps < 1)
