"""Show a fixed window of Hounsfield units, as 0..1 or as it is (CT)."""

# ruff: noqa: ARG001 - every component has the registry's signature
from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

from autoseg.core.errors import SpecError
from autoseg.intensity import Normalizer
from autoseg.specs.fingerprint import IntensityStatistics

MODALITY = "CT"


class Options(BaseModel):
    """Defaults are the liver window of Samaddar et al. and of Srivastava and Pandey."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low_hu: float = -100.0
    """Lower values take this one."""
    high_hu: float = 400.0
    """Higher values take this one."""
    to_0_1: bool = True
    """Stretch the window to 0..1."""

    @model_validator(mode="after")
    def _ordered(self) -> Options:
        if self.low_hu >= self.high_hu:
            raise ValueError(f"low_hu {self.low_hu:g} must be below high_hu {self.high_hu:g}")
        return self


def build(options: Options, *, statistics: IntensityStatistics | None) -> Normalizer:
    """The same window for every case.

    Raises:
        SpecError: What is to be segmented lies outside of the window, as in scans stored with an offset.
    """
    low, high = np.float32(options.low_hu), np.float32(options.high_hu)
    if statistics is not None and not _sees(options, statistics):
        raise SpecError(
            f"hu_window {low:g}..{high:g} HU does not show the foreground, "
            f"{statistics.percentile_00_5:g}..{statistics.percentile_99_5:g}",
            "choose low_hu and high_hu for it, or check that the images hold Hounsfield units",
        )

    def normalize(channel: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
        np.clip(channel, low, high, out=channel)
        if options.to_0_1:
            channel -= low
            channel /= high - low
        return channel

    return normalize


def _sees(options: Options, statistics: IntensityStatistics) -> bool:
    """Whether some foreground lies inside; without any foreground all statistics are 0 and say nothing."""
    if statistics.minimum == statistics.maximum == 0:
        return True
    return statistics.percentile_99_5 > options.low_hu and statistics.percentile_00_5 < options.high_hu
