"""Spread intensities so that each is as frequent as any other: histogram equalisation, whole or local (CLAHE)."""

# ruff: noqa: ARG001 - every component has the registry's signature
from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from autoseg.intensity import Normalizer
from autoseg.specs.fingerprint import IntensityStatistics

Volume = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Options(BaseModel):
    """Which histogram is flattened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scope: Literal["volume", "slice", "clahe"] = "volume"
    """One histogram per volume, per slice across the plan's first axis, or many local ones per slice (CLAHE)."""
    bins: int = Field(default=256, ge=2)
    """Of each histogram."""
    clip_limit: float = Field(default=0.01, gt=0, le=1)
    """CLAHE: largest share of a local histogram in one bin; higher is more contrast."""


def build(options: Options, *, statistics: IntensityStatistics | None) -> Normalizer:
    """Values become their rank among the case's own, 0..1; `statistics` are not used.

    Inside a mask only where one is given; what is outside of it stays.
    """
    equalize = {"volume": _by_volume, "slice": _by_slice, "clahe": _by_tile}[options.scope]

    def normalize(channel: Volume, mask: Mask | None) -> Volume:
        kept = None if mask is None else channel[~mask]
        if mask is None or mask.any():
            equalize(channel, mask, options)
        if mask is not None:
            channel[~mask] = kept
        return channel

    return normalize


def _by_volume(channel: Volume, mask: Mask | None, options: Options) -> None:
    _flatten(channel, mask, options.bins)


def _by_slice(channel: Volume, mask: Mask | None, options: Options) -> None:
    for index, plane in enumerate(channel):
        inside = None if mask is None else mask[index]
        if inside is None or inside.any():
            _flatten(plane[None], None if inside is None else inside[None], options.bins)


def _by_tile(channel: Volume, mask: Mask | None, options: Options) -> None:
    """Contrast-limited adaptive equalisation (Zuiderveld 1994) of each slice, tiles of an eighth of its edges."""
    from skimage.exposure import equalize_adapthist

    for plane in channel:
        low, high = float(plane.min()), float(plane.max())
        if high > low:
            plane[...] = equalize_adapthist((plane - low) / (high - low), None, options.clip_limit, options.bins)
        else:
            plane[...] = 0


def _flatten(channel: Volume, mask: Mask | None, bins: int) -> None:
    """`skimage.exposure.equalize_hist`, plane by plane: its copy in float64 would be twice the volume."""
    from skimage.exposure import cumulative_distribution

    # Flat, or scikit-image takes a narrow volume for colours.
    reached, centres = cumulative_distribution(channel.ravel() if mask is None else channel[mask], bins)  # type: ignore[no-untyped-call]
    for plane in channel:
        plane[...] = np.interp(plane, centres, reached)
