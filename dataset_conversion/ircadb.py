"""3D-IRCADb-01 and -02: abdominal CT with organ and tumour masks, as DICOM in zips inside zips.

    3Dircadb1/3Dircadb1.1/{PATIENT_DICOM,MASKS_DICOM,LABELLED_DICOM,MESHES_VTK}.zip

Read in place, unpacked or not. LABELLED_DICOM is one image of overlapping structures and is never used.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, field_validator

from autoseg.core.errors import DatasetError
from autoseg.core.registry import nearest
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.overlap import ircadb_group
from autoseg.io.dicom import Series, read_series, volume_of
from autoseg.io.images import write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance
from dataset_conversion._ircadb_example import write_example
from dataset_conversion._ircadb_layout import IMAGES, MASKS, Patient, files_of, part_of, patients_in, refuse_twins
from dataset_conversion._ircadb_masks import check_liver, paint, read_mask
from dataset_conversion._ircadb_structures import LIVER, STRUCTURES, TUMOUR, parts_of, structure_of, unexpected

logger = logging.getLogger(__name__)
Told = list[tuple[str, str]]


class IrcadbOptions(BaseModel):
    """What to label, and how strictly the published facts are held."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    structures: tuple[str, ...] = ()
    """Organs to label 1, 2, ..., later ones over earlier ones; none is the task liver 1, tumour 2."""
    ignore: tuple[str, ...] = ()
    """Mask folders of unknown names that may be left out."""
    table: Literal["fail", "warn", "off"] = "fail"
    """What to do where a patient has not the published number of slices."""

    @field_validator("structures", "ignore", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Accept `liver,spleen` from the command line."""
        return (
            tuple(word.strip().lower() for word in value.split(",") if word.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("structures")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in STRUCTURES:
                raise ValueError(f"no structure '{name}', {nearest(name, sorted(STRUCTURES))}")
        if len(set(value)) != len(value):
            raise ValueError("name each structure once")
        return value


class Ircadb(Converter):
    """Masks are paired with the CT by InstanceNumber, positions compared; both are written on the CT's grid."""

    Options: ClassVar[type[BaseModel]] = IrcadbOptions
    EXAMPLE_OPTIONS: ClassVar[Mapping[str, Any]] = {"table": "off"}
    options: IrcadbOptions = IrcadbOptions()

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="ircadb",
            title="3D-IRCADb-01 and -02: 20 + 2 abdominal CTs with liver tumours and up to 40 other structures",
            licence="CC BY-NC-ND (converted volumes must not be passed on)",
            citation="Soler et al., 3D image reconstruction for comparison of algorithm database, IRCAD 2010",
            needs="the folder with 3Dircadb1.1 ... 3Dircadb1.20 (or their zips), one of them, or 3Dircadb1.zip",
            dataset_name="IRCADbOrgans" if self.options.structures else "IRCADbLiverTumour",
            scoring="" if self.options.structures else "lits",
        )

    def recognises(self, source: Path) -> bool:
        try:
            return source.exists() and bool(patients_in(source))
        except (DatasetError, OSError):
            return False

    def cases(self, source: Path) -> Sequence[SourceCase]:
        refuse_twins(source)
        patients = patients_in(source)
        if not patients:
            raise DatasetError(f"{source} has no folder or zip called like 3Dircadb1.17", f"give {self.spec().needs}")
        found = [_case(patient) for patient in patients]
        kept = [case for case in found if self._is_labelled(case)]
        if not kept:
            raise DatasetError(f"no patient has masks of {', '.join(self.options.structures)}", "name other structures")
        return tuple(kept)

    def dataset(self, source: Path) -> Dataset:
        names = self.options.structures or ("liver", "tumour")
        return Dataset(
            channel_names={"0": "CT"},
            labels={"background": 0, **{name: value for value, name in enumerate(names, start=1)}},
            numTraining=len(self.cases(source)),
            file_ending=".nii.gz",
            name=self.spec().dataset_name,
            description=self.spec().title,
            reference=self.spec().citation,
            licence=self.spec().licence,
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> Told:
        told: Told = []
        with files_of(case, IMAGES) as folders:
            series = _only_series(read_series(folders[""], strict=True), case)
            image, geometry = volume_of(series)
        told.extend((line, "it was left out") for line in series.aside)
        labels, tumour_folders = self._labels(case, series, told)
        self._compare(case, series, tumour_folders, told)
        # Everything has been checked before the first byte is written.
        write_image(target.images[0], image, geometry)
        if target.label is not None:
            write_label(target.label, labels, geometry)
        return told

    def example(self, root: Path) -> Path:
        return write_example(root)

    def _is_labelled(self, case: SourceCase) -> bool:
        """Whether every wanted structure is there: an organ without mask would be learnt as background."""
        if not self.options.structures:
            return True
        try:
            with files_of(case, MASKS) as folders:
                names = {structure_of(folder) for folder in folders}
        except DatasetError:
            return True  # the conversion will say what is wrong with it
        missing = [name for name in self.options.structures if name != TUMOUR and not parts_of(name, names)]
        if missing:
            logger.warning("%s is left out: it has no mask of %s", case.case_id, ", ".join(missing))
        return not missing

    def _labels(self, case: SourceCase, series: Series, told: Told) -> tuple[npt.NDArray[np.uint8], int]:
        """Label map (Z, Y, X), and the number of liver tumour folders."""
        with files_of(case, MASKS) as folders:
            self._refuse_unknown(case, tuple(folders))
            named = {folder: structure_of(folder) for folder in sorted(folders)}
            wanted = self.options.structures or (LIVER, TUMOUR)
            masks = {
                folder: read_mask(folders[folder], series.slices)
                for folder, name in named.items()
                if any(name in parts_of(want, named.values()) for want in wanted)
            }
        if not self.options.structures:
            told.extend(check_liver(part_of(_patient(case), MASKS), masks, named))
        painted = {
            want: [mask for folder, mask in masks.items() if named[folder] in parts_of(want, named.values())]
            for want in wanted
        }
        return paint(painted, shape=(len(series.slices), *series.slices[0].shape)), sum(
            name == TUMOUR for name in named.values()
        )

    def _refuse_unknown(self, case: SourceCase, folders: Sequence[str]) -> None:
        for folder in sorted(folders):
            if structure_of(folder) not in STRUCTURES and folder.lower() not in self.options.ignore:
                raise DatasetError(
                    f"{part_of(_patient(case), MASKS)} has the unknown mask folder '{folder}'",
                    f"leave it out with --ignore {folder}, or rename it to the structure it holds",
                )

    def _compare(self, case: SourceCase, series: Series, tumour_folders: int, told: Told) -> None:
        patient = _patient(case)
        if patient.collection != 1 or self.options.table == "off":
            return
        count, folders = unexpected(patient.number, slices=len(series.slices), tumour_folders=tumour_folders)
        if count and self.options.table == "fail":
            cure = "download it again, or pass --table warn if it was cut on purpose"
            raise DatasetError(f"{part_of(patient, IMAGES)} has {count}", cure)
        told.extend((f"it has {text}", "compare with the download") for text in (count, folders) if text)


def _case(patient: Patient) -> SourceCase:
    image, label = part_of(patient, IMAGES), part_of(patient, MASKS)
    name = f"3D-IRCADb-{patient.collection:02d}"
    group = ircadb_group(patient.number) if patient.collection == 1 else None
    return SourceCase(
        case_id=patient.case_id,
        images=(image,),
        label=label,
        provenance=Provenance(
            source=f"{name} {patient.number}", overlap_group=group, patient=f"{name} {patient.number}"
        ),
        details={"collection": str(patient.collection), "number": str(patient.number), "root": str(patient.root)},
    )


def _patient(case: SourceCase) -> Patient:
    return Patient(int(case.details["collection"]), int(case.details["number"]), Path(case.details["root"]))


def _only_series(found: tuple[tuple[Series, ...], tuple[str, ...]], case: SourceCase) -> Series:
    series, aside = found
    where = part_of(_patient(case), IMAGES)
    if not series:
        raise DatasetError(f"{where} holds no CT slices", "download it again")
    if len(series) > 1:
        listed = "; ".join(one.title for one in series)
        raise DatasetError(f"{where} holds {len(series)} series ({listed})", "remove all but the patient's CT")
    return Series(series[0].slices, aside)


converter = Ircadb()
