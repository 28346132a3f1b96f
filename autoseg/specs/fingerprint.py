"""`fingerprint.json`: what the planner needs to know about a data set."""

from __future__ import annotations

from autoseg.specs.document import Document, Section, digest_of


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


class LabelPlace(Section):
    """Where a label lies; axes (z, y, x) as stored in the file."""

    centre_mm: tuple[float, float, float]
    """Centre of gravity, from the middle of the image."""
    spread_mm: tuple[float, float, float]
    """Standard deviation of its voxels' positions."""


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
    cropped_start_voxels: tuple[int, int, int] | None = None
    """Its first voxel; None in fingerprints from before it was noted."""
    spacing_mm: tuple[float, float, float]
    """Voxel spacing."""
    orientation: str
    """Anatomical directions in which z, y and x grow, e.g. `SPL`."""
    label_voxels: dict[str, int]
    """Label value -> voxels."""
    label_places: dict[str, LabelPlace] = {}
    """Label value -> where it lies; empty where there are fewer than two labels."""


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

    def digest(self) -> str:
        """Without what was noted later, of labels and of boxes: plans from before stay good."""
        later = {"label_places", "cropped_start_voxels"}
        return digest_of(self.model_dump(mode="json", exclude={"cases": {"__all__": later}}))
