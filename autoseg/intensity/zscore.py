"""Subtract the mean and divide by the standard deviation of the case."""

# ruff: noqa: ARG001 - every component has the registry's signature
from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from autoseg.intensity import Normalizer
from autoseg.specs.fingerprint import IntensityStatistics

SMALLEST_STD = 1e-8
"""A constant channel becomes 0 instead of dividing by 0."""


class Options(BaseModel):
    """None."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def build(options: Options, *, statistics: IntensityStatistics | None) -> Normalizer:
    """Mean and deviation of each case on its own; `statistics` are not used."""
    return normalize


def normalize(channel: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
    """z-score over all voxels, or over those of `mask` with the rest unchanged; in place.

    Args:
        channel: (Z, Y, X).
        mask: (Z, Y, X) or None.
    """
    if mask is not None:
        inside = channel[mask]
        channel[mask] = _standardize(inside) if inside.size else inside
        return channel
    return _standardize(channel)


def _standardize(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # Two passes, since E[x^2] - E[x]^2 cancels for intensities far from 0; sums in float64 without a float64 copy.
    values -= np.float32(values.mean(dtype=np.float64))
    flat = values.reshape(-1)
    std = np.sqrt(np.einsum("i,i->", flat, flat, dtype=np.float64) / values.size)
    values /= np.float32(max(std, SMALLEST_STD))
    return values
