"""Leave intensities as they are."""

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
    """Identity."""
    return normalize


def normalize(channel: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
    """The channel itself.

    Args:
        channel: (Z, Y, X).
        mask: Ignored.
    """
    return channel
