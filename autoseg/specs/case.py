"""The record beside each preprocessed case: all that is needed to put a prediction back on the original grid."""

from __future__ import annotations

from autoseg.core.geometry import Geometry
from autoseg.specs.document import Document, Section


class Grid(Section):
    """A `Geometry` on disk; (z, y, x)."""

    shape: tuple[int, int, int]
    """Voxels."""
    spacing_mm: tuple[float, float, float]
    """Voxel spacing."""
    origin_mm: tuple[float, float, float]
    """World position of voxel 0."""
    direction: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    """Rows world axes, columns array axes."""

    @classmethod
    def of(cls, geometry: Geometry) -> Grid:
        """Copy a geometry."""
        return cls(
            shape=geometry.shape,
            spacing_mm=geometry.spacing_mm,
            origin_mm=geometry.origin_mm,
            direction=geometry.direction,
        )

    def geometry(self) -> Geometry:
        """The value object."""
        return Geometry(self.shape, self.spacing_mm, self.origin_mm, self.direction)


class CaseRecord(Document):
    """How a case went from its file to the plan's grid: orient -> transpose -> crop -> resample."""

    case_id: str
    """Name of the case."""
    original: Grid
    """Grid in the file."""
    orient_axes: tuple[int, int, int]
    """Axis order of the re-orientation; (0, 1, 2) when as stored."""
    orient_flips: tuple[bool, bool, bool]
    """Axes (after `orient_axes`) that were reversed."""
    transpose: tuple[int, int, int]
    """Axis order of the plan."""
    transposed_shape_voxels: tuple[int, int, int]
    """Shape after orientation and transpose, before the crop."""
    crop_start_voxels: tuple[int, int, int]
    """First kept voxel."""
    crop_stop_voxels: tuple[int, int, int]
    """One past the last kept voxel."""
    cropped_spacing_mm: tuple[float, float, float]
    """Spacing of the cropped volume."""
    spacing_mm: tuple[float, float, float]
    """Spacing of the stored case."""
    shape_voxels: tuple[int, int, int]
    """Shape of the stored case."""
    label_voxels: dict[str, int] = {}
    """Label value -> voxels in the stored case; empty without a reference."""
    annotated: tuple[str, ...] | None = None
    """Labels that the case annotates; None is all of them."""
    source: str = ""
    """Names, sizes, times and digest of the files, and meaning of the labels, that a stored case was made from."""

    @property
    def cropped_shape_voxels(self) -> tuple[int, int, int]:
        """Shape between crop and resampling."""
        first, second, third = (
            stop - start for start, stop in zip(self.crop_start_voxels, self.crop_stop_voxels, strict=True)
        )
        return (first, second, third)
