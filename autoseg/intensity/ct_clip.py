"""Clip to the foreground's percentiles, then standardise by the foreground's mean and deviation (CT)."""

# ruff: noqa: ARG001 - every component has the registry's signature
from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import SpecError
from autoseg.intensity import Normalizer
from autoseg.specs.fingerprint import IntensityStatistics


class Options(BaseModel):
    """None."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def build(options: Options, *, statistics: IntensityStatistics | None) -> Normalizer:
    """Same window for every case: Hounsfield units are absolute.

    Raises:
        SpecError: When the channel has no statistics.
    """
    if statistics is None:
        raise SpecError("ct_clip needs the data set's foreground intensities", "run fingerprint and plan again")
    lowest, highest = np.float32(statistics.percentile_00_5), np.float32(statistics.percentile_99_5)
    mean, std = np.float32(statistics.mean), np.float32(max(statistics.std, 1e-8))

    def normalize(channel: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
        np.clip(channel, lowest, highest, out=channel)
        channel -= mean
        channel /= std
        return channel

    return normalize
