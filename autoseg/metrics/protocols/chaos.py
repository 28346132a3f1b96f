"""CHAOS: Dice, relative volume difference, mean and maximum surface distance of every organ.

Facts of the challenge's `CHAOSmetrics.py` and Kavur et al., Medical Image Analysis 69 (2021).
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

from autoseg.metrics.case import RegionPair
from autoseg.metrics.empties import reason
from autoseg.metrics.protocols._protocol import Protocol
from autoseg.metrics.voxel_surface import voxel_surface_distances
from autoseg.specs.report import Score

NO_SURFACE: Final = "no surface voxel inside the image"


class Options(BaseModel):
    """There is nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ChaosProtocol(Protocol):
    """See the module's first line."""

    RANKED = ("dice", "ravd_percent", "assd_mm", "mssd_mm")

    def score(self, pair: RegionPair) -> dict[str, Score]:
        counts = pair.counts
        if counts.empty != "none":
            why = reason(counts.empty)
            nothing = Score(value=None, reason=why)
            dice = nothing if counts.empty == "both" else Score(value=0.0, reason=why)
            missing = counts.empty == "prediction"
            ravd = Score(value=100.0, reason=why) if missing else nothing
            return {"dice": dice, "ravd_percent": ravd, "assd_mm": nothing, "mssd_mm": nothing}
        # The box of both masks may end inside the image; only where the image itself ends does the mask go on.
        ends = [(start, start + size) for start, size in zip(pair.origin, pair.reference.shape, strict=True)]
        outside = tuple((low == 0, high == size) for (low, high), size in zip(ends, pair.shape, strict=True))
        found = voxel_surface_distances(
            pair.prediction, pair.reference, spacing_mm=pair.spacing_mm, neighbours=6, outside=outside
        )
        none = Score(value=None, reason=NO_SURFACE)
        return {
            "dice": Score(value=2 * counts.tp / (counts.predicted + counts.referenced)),
            "ravd_percent": Score(value=100 * abs(counts.referenced - counts.predicted) / counts.referenced),
            "assd_mm": none if found is None else Score(value=found.average_mm()),
            "mssd_mm": none if found is None else Score(value=found.maximum_mm()),
        }

    def definitions(self) -> dict[str, str]:
        return {
            "dice": "2 TP / (2 TP + FP + FN) of voxels",
            "ravd_percent": "100 ||R| - |P|| / |R|; none where the reference is empty",
            "assd_mm, mssd_mm": (
                "mean and maximum over both directed distance lists joined; surface voxels by 6-neighbour erosion; "
                "a mask goes on beyond the image, so voxels at its end are no surface; voxel centres in mm"
            ),
            "empty masks": "one empty: Dice 0, no distance; both: none, left out of the means; not ruled there",
            "lesions": "not told apart: no components, no dilation, no size threshold",
        }


def build(options: Options) -> ChaosProtocol:  # noqa: ARG001 - every protocol is built from options
    """The protocol."""
    return ChaosProtocol()
