"""`fingerprint.json`: what the planner needs to know about a data set."""

from __future__ import annotations

from autoseg.specs.document import Document, Section


class IntensityStatistics(Section):
    """Foreground intensities of one channel, in stored units (HU for CT)."""

    mean: float
    """Mean."""
    median: float
    """Median."""
    std: float
    """Standard deviation."""
    minimum: float
    """Smallest value."""
    maximum: float
    """Largest value."""
    percentile_00_5: float
    """0.5th percentile."""
    percentile_99_5: float
    """99.5th percentile."""


class CaseFingerprint(Section):
    """One training case, axes (z, y, x) as stored in the file."""

    case_id: str
    """Name of the case."""
    content: str
    """Digest of the input files, so that an unchanged case is not read again."""
    shape_voxels: tuple[int, int, int]
    """Shape in the file."""
    cropped_shape_voxels: tuple[int, int, int]
    """Shape of the bounding box of non-zero voxels."""
    spacing_mm: tuple[float, float, float]
    """Voxel spacing."""
    orientation: str
    """Anatomical directions in which z, y and x grow, e.g. `SPL`."""
    label_voxels: dict[str, int]
    """Label value -> voxels."""


class Fingerprint(Document):
    """All training cases and their pooled intensities."""

    dataset: str
    """Folder name of the data set."""
    cases: tuple[CaseFingerprint, ...]
    """Sorted by case id."""
    intensities: tuple[IntensityStatistics, ...]
    """Per channel, over sampled foreground voxels of all cases."""
    median_relative_size_after_cropping: float
    """Median over cases of cropped voxels / all voxels."""
    quarantined: dict[str, str] = {}
    """Case id -> why it is left out."""
