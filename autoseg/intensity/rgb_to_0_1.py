"""Divide 8-bit colour channels by 255."""

# ruff: noqa: ARG001 - every component has the registry's signature
from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import DatasetError
from autoseg.intensity import Normalizer
from autoseg.specs.fingerprint import IntensityStatistics


class Options(BaseModel):
    """None."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def build(options: Options, *, statistics: IntensityStatistics | None) -> Normalizer:
    """Same scale for every case; `statistics` are not used."""
    return normalize


def normalize(channel: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
    """0..255 to 0..1, in place; `mask` is not used.

    Args:
        channel: (Z, Y, X).
        mask: Ignored.

    Raises:
        DatasetError: When a value is outside 0..255.
    """
    lowest, highest = float(channel.min()), float(channel.max())
    if lowest < 0 or highest > 255:
        raise DatasetError(
            f"colour values {lowest:g}..{highest:g} are not 8-bit", "name the channel so that it is not taken for RGB"
        )
    channel /= np.float32(255)
    return channel
