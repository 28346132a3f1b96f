"""`dataset.json`: nnU-Net v2's, with optional extras."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace
from autoseg.specs.document import Document, Section


class CaseFiles(Section):
    """Explicit files of one case, absolute or relative to the data set's folder."""

    images: tuple[str, ...]
    """One file per channel, in channel order."""
    label: str
    """The label file."""


class Provenance(Section):
    """Where a case comes from; splits keep one patient and one overlap group on one side."""

    source: str = ""
    """Data set and original id."""
    overlap_group: str | None = None
    """Same string = same underlying scan, also across data sets."""
    patient: str | None = None
    """Same string = same person."""
    annotated: tuple[str, ...] | None = None
    """Labels that the case annotates; others may be anywhere in its background and are not judged. None is all."""


class Dataset(Document):
    """Channels, labels and cases of a raw data set. Unknown keys are kept out, not refused: the format is shared."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    # nnU-Net v2 takes the mere presence of "dataset" for an explicit map of cases.
    OMIT_EMPTY: ClassVar[bool] = True

    channel_names: dict[str, str]
    """Channel index -> name; the name picks the normalisation (`CT` is special)."""
    labels: dict[str, int | tuple[int, ...]]
    """Label name -> value, or -> values for a region. `background` must be 0."""
    numTraining: int  # noqa: N815 - the key is nnU-Net's
    """Number of training cases."""
    file_ending: str
    """Ending of the files with its dot, e.g. `.nii.gz`; other readable endings may be mixed in."""
    name: str = ""
    """Readable name."""
    description: str = ""
    """One line about the data."""
    reference: str = ""
    """Citation or address."""
    licence: str = ""
    """Licence of the images."""
    scoring: str = ""
    """Scoring protocol of its challenge, NAME or NAME:VARIANT, which `evaluate` takes by default."""
    submission: str = ""
    """Submission format of its challenge and year, which `submit` takes by default."""
    regions_class_order: tuple[int, ...] | None = None
    """Label to write per region, later ones overwrite earlier ones."""
    dataset: dict[str, CaseFiles] | None = None
    """Explicit case -> files map that replaces the folders."""
    provenance: dict[str, Provenance] = {}
    """Per-case origin."""
    overwrite_image_reader_writer: str | None = None
    """Accepted for compatibility; readers are chosen by file ending."""

    def channels(self) -> tuple[str, ...]:
        """Channel names in index order.

        Raises:
            SpecError: When the indices are not 0, 1, 2, ...
        """
        if sorted(self.channel_names) != sorted(str(index) for index in range(len(self.channel_names))):
            raise SpecError(f"channel_names has the keys {sorted(self.channel_names)}", 'number them "0", "1", ...')
        return tuple(self.channel_names[str(index)] for index in range(len(self.channel_names)))

    def annotated(self, case_id: str) -> tuple[str, ...] | None:
        """Labels that a case annotates; None is all of them."""
        origin = self.provenance.get(case_id)
        return None if origin is None else origin.annotated

    def label_space(self) -> LabelSpace:
        """The labels' meaning."""
        return LabelSpace.parse(self.labels, self.regions_class_order)
