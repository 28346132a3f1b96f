"""Several normalisers for one channel, one after the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from autoseg.intensity import Normalizer, normalizers
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics

_LIVER = (Component(name="hu_window"), Component(name="hist_equalize"), Component(name="rescale_to_0_1"))


class Options(BaseModel):
    """What to do, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[Component, ...] = Field(default=_LIVER, min_length=1)
    """Normalisers with their options; by default those of Samaddar et al. for the liver in CT."""

    @model_validator(mode="after")
    def _checked(self) -> Options:
        for step in self.steps:
            normalizers.options(step.name, step.options)
        return self


def build(options: Options, *, statistics: IntensityStatistics | None) -> Normalizer:
    """All steps. Statistics are those of the intensities as read: a step that uses them comes first."""
    steps: list[Normalizer] = [
        normalizers.build(step.name, step.options, statistics=statistics) for step in options.steps
    ]

    def normalize(channel: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
        for step in steps:
            channel = step(channel, mask)
        return channel

    return normalize
