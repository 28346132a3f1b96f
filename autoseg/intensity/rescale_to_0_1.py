"""Stretch each case linearly to 0..1."""

# ruff: noqa: ARG001 - every component has the registry's signature
from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from autoseg.intensity import Normalizer
from autoseg.specs.fingerprint import IntensityStatistics


class Options(BaseModel):
    """None."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def build(options: Options, *, statistics: IntensityStatistics | None) -> Normalizer:
    """Smallest and largest value of each case; `statistics` are not used."""
    return normalize


def normalize(channel: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
    """Smallest voxel to 0, largest to 1; a constant channel to 0. In place; `mask` is not used.

    Args:
        channel: (Z, Y, X).
        mask: Ignored.
    """
    channel -= channel.min()
    channel /= max(channel.max(), np.float32(1e-8))
    return channel
