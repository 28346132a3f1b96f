"""3D-IRCADb-01 as NIfTI files that others made of it: `ircad_e01_orig.nii.gz` and `ircad_e01_liver.nii.gz` to e20.

Second-hand: who converted them is not known, tumours are not among them. The original is `ircadb`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.files import folders_below, take_image, take_label, volumes
from autoseg.datasets.overlap import ircadb_group
from autoseg.io.images import read_header, write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance
from dataset_conversion._ircadb_facts import SLICES
from dataset_conversion.lits import example_voxels

_IMAGE = r"ircad_e\d\d_orig"
_DEPTH = 2


class IrcadbNifti(Converter):
    """Liver alone; a mask is written on the grid of its image; 1 and 255 are liver."""

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="ircadb_nifti",
            title="3D-IRCADb-01 as NIfTI files of unknown maker, liver only",
            licence="CC BY-NC-ND (converted volumes must not be passed on)",
            citation="Soler et al., 3D image reconstruction for comparison of algorithm database, IRCAD 2010",
            needs="the folder with ircad_e01_orig.nii.gz and ircad_e01_liver.nii.gz",
            dataset_name="IRCADbLiver",
        )

    def recognises(self, source: Path) -> bool:
        return any(volumes(folder, _IMAGE) for folder in folders_below(source, depth=_DEPTH))

    def cases(self, source: Path) -> Sequence[SourceCase]:
        found = [_case(image) for folder in folders_below(source, depth=_DEPTH) for image in _images(folder)]
        if not found:
            raise DatasetError(f"no ircad_eNN_orig.nii.gz in {source}", f"give {self.spec().needs}")
        return tuple(sorted(found, key=lambda case: case.case_id))

    def dataset(self, source: Path) -> Dataset:
        return Dataset(
            channel_names={"0": "CT"},
            labels={"background": 0, "liver": 1},
            numTraining=len(self.cases(source)),
            file_ending=".nii.gz",
            name=self.spec().dataset_name,
            description=self.spec().title,
            reference=self.spec().citation,
            licence=self.spec().licence,
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> list[tuple[str, str]]:
        take_image(case.images[0], target.images[0])
        if case.label is not None and target.label is not None:
            take_label(case.label, target.label, image=target.images[0], values={0: 0, 1: 1, 255: 1})
        slices, known = read_header(case.images[0]).shape[0], SLICES[_patient(case.images[0])]
        if slices == known:
            return []
        return [(f"it has {slices} slices, the original {known}", "take the original with the converter ircadb")]

    def example(self, root: Path) -> Path:
        for number in (1, 17):
            image, labels = example_voxels((10, 14, 14), seed=number)
            grid = Geometry(labels.shape, (1.6, 0.8, 0.8))
            write_image(root / f"ircad_e{number:02d}_orig.nii.gz", image, grid)
            write_label(root / f"ircad_e{number:02d}_liver.nii.gz", (labels > 0).astype("uint8"), grid)
        return root


def _images(folder: Path) -> list[Path]:
    return list(volumes(folder, _IMAGE).values())


def _patient(image: Path) -> int:
    return int(image.name[len("ircad_e") : len("ircad_e00")])


def _case(image: Path) -> SourceCase:
    number = _patient(image)
    case_id = f"ircadb01_{number:02d}"
    if number not in SLICES:
        raise DatasetError(f"{image}: 3D-IRCADb-01 has no patient {number}", "remove the file", case_id=case_id)
    label = volumes(image.parent, rf"ircad_e{number:02d}_liver").get(f"ircad_e{number:02d}_liver")
    if label is None:
        raise DatasetError(f"{image} has no ircad_e{number:02d}_liver", "download it again", case_id=case_id)
    who = f"3D-IRCADb-01 {number}"
    return SourceCase(
        case_id=case_id,
        images=(image,),
        label=label,
        provenance=Provenance(source=f"{who} (NIfTI)", overlap_group=ircadb_group(number), patient=who),
    )


converter = IrcadbNifti()
