"""3D-IRCADb-01 as its web page describes it: slices and spacing of its 20 patients."""

from __future__ import annotations

from collections.abc import Mapping

from autoseg.core.geometry import Vector3

_COUNTS = (129, 172, 200, 91, 139, 135, 151, 124, 111, 122, 132, 260, 122, 113, 125, 155, 119, 74, 124, 225)
_IN_PLANE = (0.57, 0.78, 0.62, 0.74, 0.78, 0.78, 0.78, 0.56, 0.87, 0.73,
             0.72, 0.68, 0.67, 0.72, 0.78, 0.70, 0.74, 0.74, 0.70, 0.81)  # fmt: skip
_STEP = (1.6, 1.6, 1.25, 2.0, 1.6, 1.6, 1.6, 1.6, 2.0, 1.6, 1.6, 1.0, 1.6, 1.6, 1.6, 1.6, 1.6, 2.5, 4.0, 2.0)

SLICES: Mapping[int, int] = dict(enumerate(_COUNTS, start=1))
"""Patient -> number of slices."""
SPACING_MM: Mapping[int, Vector3] = {
    patient: (step, size, size) for patient, (step, size) in enumerate(zip(_STEP, _IN_PLANE, strict=True), start=1)
}
"""Patient -> spacing (z, y, x) as on the web page, rounded to 0.01 mm."""
