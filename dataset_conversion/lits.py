"""LiTS: liver and its tumours in CT, the two training batches and the test volumes as downloaded.

    Training Batch 1/{volume-0.nii, segmentation-0.nii, ...}   Training Batch 2/{volume-28.nii, ...}
    .../test-volume-0.nii

Headers of volumes 28 to 47 have lost their spacing; they are patients 1 to 20 of 3D-IRCADb-01. test-volume-59 is
stored with its second and third axes exchanged: the array is kept, as submissions must have its layout, and the
header is given the directions that the axes have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, field_validator

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry, Matrix3, Vector3
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.files import folders_below, natural, take_image, take_label, volumes
from autoseg.datasets.overlap import ircadb_patient, lits_group
from autoseg.io.dicom import geometry_of, read_series
from autoseg.io.images import read_header, read_image, write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance
from dataset_conversion._ircadb_facts import SLICES, SPACING_MM
from dataset_conversion._ircadb_layout import IMAGES, files_of, patients_in

_DEPTH = 3
_EXCHANGED = "test-volume-59"
_FROM_FILES = "ircadb:"


class LitsOptions(BaseModel):
    """What to do about lost spacing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fix_spacing: str | None = None
    """Volumes 28 to 47: `ircadb:FOLDER` reads it from the scans of 3D-IRCADb-01, `table` takes its web page's, rounded
    to 0.01 mm; None keeps the stored 1 x 1 x 1 mm."""

    @field_validator("fix_spacing")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value != "table" and not value.startswith(_FROM_FILES):
            raise ValueError("use ircadb:FOLDER or table")
        return value


class Lits(Converter):
    """Case ids are the volumes' own names, which submissions are made from."""

    Options = LitsOptions
    options: LitsOptions = LitsOptions()

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="lits",
            title="Liver Tumor Segmentation Challenge 2017, 131 training and 70 test CT scans",
            licence="CC BY-NC-ND 4.0",
            citation="Bilic et al., Medical Image Analysis 84, 102680 (2023)",
            needs="the folder that holds volume-N.nii and segmentation-N.nii, in one folder or in batches",
            dataset_name="LiTS",
            scoring="lits",
            submission="lits",
        )

    def recognises(self, source: Path) -> bool:
        return any(
            volumes(folder, r"volume-\d+") and volumes(folder, r"segmentation-\d+")
            for folder in folders_below(source, depth=_DEPTH)
        )

    def cases(self, source: Path) -> Sequence[SourceCase]:
        images, labels = _collect(source, r"volume-\d+"), _collect(source, r"segmentation-\d+")
        if not images:
            raise DatasetError(f"no volume-N.nii in {source}", f"give {self.spec().needs}")
        found = []
        for stem, image in images.items():
            label = labels.pop(f"segmentation-{_number(stem)}", None)
            if label is None:
                problem = f"{image} has no segmentation-{_number(stem)}"
                raise DatasetError(problem, "unpack both batches again", case_id=stem)
            found.append(self._training_case(stem, image, label))
        for stem, label in labels.items():
            raise DatasetError(f"{label} has no volume-{_number(stem)}", "unpack both batches again", case_id=stem)
        return (*found, *(_test_case(stem, path) for stem, path in _collect(source, r"test-volume-\d+").items()))

    def dataset(self, source: Path) -> Dataset:
        return Dataset(
            channel_names={"0": "CT"},
            labels={"background": 0, "liver": 1, "tumor": 2},
            numTraining=len(_collect(source, r"volume-\d+")),
            file_ending=".nii.gz",
            name=self.spec().dataset_name,
            reference=self.spec().citation,
            licence=self.spec().licence,
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> list[tuple[str, str]]:
        source = case.images[0]
        mended = self._mended(case, read_header(source))
        if mended is None:
            take_image(source, target.images[0])
        else:
            write_image(target.images[0], read_image(source).array, mended)
        if case.label is not None and target.label is not None:
            take_label(case.label, target.label, image=target.images[0], values={0: 0, 1: 1, 2: 2})
        if mended is None:
            return []
        if case.case_id == _EXCHANGED:
            return [("its second and third axes are exchanged", "the array is kept, the header says so")]
        told = f"spacing taken from {self.options.fix_spacing}, directions left as stored"
        return [(told, "LiTS may hold the scan mirrored: look at one slice")]

    def example(self, root: Path) -> Path:
        for number, batch in ((0, 1), (28, 2)):
            folder = root / f"Training Batch {batch}"
            spacing: Vector3 = (1.0, 1.0, 1.0) if ircadb_patient(number) else (2.5, 0.8, 0.8)
            image, labels = example_voxels((10, 14, 14), seed=number)
            geometry = Geometry(labels.shape, spacing)
            write_image(folder / f"volume-{number}.nii", image, geometry)
            write_label(folder / f"segmentation-{number}.nii", labels, geometry)
        image, _ = example_voxels((14, 10, 14), seed=59)
        write_image(root / "Test-Data" / f"{_EXCHANGED}.nii", image, Geometry((14, 10, 14), (0.8, 2.5, 0.8)))
        return root

    def _training_case(self, stem: str, image: Path, label: Path) -> SourceCase:
        number = _number(stem)
        patient = ircadb_patient(number)
        origin = f"LiTS {stem}"
        if patient is not None:
            origin += f", 3D-IRCADb-01 patient {patient}"
            origin += f", spacing from {self.options.fix_spacing}" if self.options.fix_spacing else ""
        group = lits_group(number)
        return SourceCase(
            stem, (image,), label, provenance=Provenance(source=origin, overlap_group=group, patient=group)
        )

    def _mended(self, case: SourceCase, stored: Geometry) -> Geometry | None:
        """The grid to write instead of the stored one, if any."""
        if case.case_id == _EXCHANGED:
            return _with_exchanged_axes(stored)
        patient = ircadb_patient(_number(case.case_id)) if case.split == "train" else None
        if self.options.fix_spacing is None or patient is None or stored.spacing_mm != (1.0, 1.0, 1.0):
            return None
        return replace(stored, spacing_mm=self._ircadb_spacing_mm(case, patient, slices=stored.shape[0]))

    def _ircadb_spacing_mm(self, case: SourceCase, patient: int, *, slices: int) -> Vector3:
        expected = SLICES[patient]
        if self.options.fix_spacing == "table":
            spacing_mm = SPACING_MM[patient]
        else:
            folder = Path(str(self.options.fix_spacing).removeprefix(_FROM_FILES))
            scan = _ircadb_grid(folder, patient)
            spacing_mm, expected = scan.spacing_mm, scan.shape[0]
        if slices != expected:
            problem = f"{case.images[0]} has {slices} slices, 3D-IRCADb-01 patient {patient} has {expected}"
            raise DatasetError(problem, "convert without fix_spacing", case_id=case.case_id)
        return spacing_mm


def example_voxels(shape: tuple[int, int, int], *, seed: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """HU and labels (Z, Y, X) of a block of liver with a tumour, whatever the size."""
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(size // 4, size - size // 4) for size in shape)] = 1
    labels[tuple(slice(size // 2 - 1, size // 2 + 1) for size in shape)] = 2
    noise = np.random.default_rng(seed).integers(-20, 20, shape)
    return (np.choose(labels, (-1000, 110, 60)) + noise).astype(np.int16), labels


def _collect(source: Path, pattern: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in folders_below(source, depth=_DEPTH):
        for stem, path in volumes(folder, pattern).items():
            if stem in found:
                raise DatasetError(f"{path} and {found[stem]} are the same volume", "remove one", case_id=stem)
            found[stem] = path
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))


def _ircadb_grid(folder: Path, patient: int) -> Geometry:
    """Grid of the CT of a patient of 3D-IRCADb-01.

    Raises:
        DatasetError: No such patient below the folder, or no regular series of slices.
    """
    found = [one for one in patients_in(folder) if (one.collection, one.number) == (1, patient)]
    if not found:
        raise DatasetError(f"{folder} has no patient 3Dircadb1.{patient}", "unpack 3D-IRCADb-01 there")
    details = {"collection": "1", "number": str(patient), "root": str(found[0].root)}
    with files_of(SourceCase(found[0].case_id, (), details=details), IMAGES) as files:
        series, _ = read_series(files[""])
        if not series:
            raise DatasetError(f"{found[0].root} holds no slices", "unpack 3D-IRCADb-01 again")
        return geometry_of(series[0].slices)


def _number(stem: str) -> int:
    return int(stem.rsplit("-", 1)[1])


def _test_case(stem: str, image: Path) -> SourceCase:
    origin = Provenance(source=f"LiTS {stem}", overlap_group=f"lits-test-{_number(stem)}")
    return SourceCase(stem, (image,), split="test", has_label=False, provenance=origin)


def _with_exchanged_axes(stored: Geometry) -> Geometry | None:
    """Array axes z and y trade directions where rows, not slices, are the odd axis out; None for a mended copy."""
    z, y, x = stored.shape
    if not (z == x != y):
        return None
    rows: list[Vector3] = [(row[1], row[0], row[2]) for row in stored.direction]
    direction: Matrix3 = (rows[0], rows[1], rows[2])
    return replace(stored, direction=direction)


converter = Lits()
