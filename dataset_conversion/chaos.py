"""CHAOS: abdominal CT (liver) and MR (liver, kidneys, spleen) as DICOM slices with PNG ground truth.

    Train_Sets/CT/1/{DICOM_anon,Ground}
    Train_Sets/MR/1/T1DUAL/{DICOM_anon/{InPhase,OutPhase},Ground}      Train_Sets/MR/1/T2SPIR/{DICOM_anon,Ground}

A PNG belongs to the DICOM file of the same rank by file name; positions then say where the slice lies. Sorting both
by position, or the PNGs alone, turns half of the masks upside down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from autoseg.core.errors import DatasetError
from autoseg.datasets import CaseTarget, Converter, ConverterInfo, SourceCase
from autoseg.datasets.chaos import GREY_RANGES, ORGANS
from autoseg.datasets.files import folders_below, is_junk, natural
from autoseg.io.archive import file_entry
from autoseg.io.dicom import Series, read_series, volume_of
from autoseg.io.images import write_image, write_label
from autoseg.specs.dataset import Dataset, Provenance
from dataset_conversion._chaos_example import write_example

_DEPTH = 5
_SCAN, _GROUND = "DICOM_anon", "Ground"
_CHANNELS: Mapping[str, Mapping[str, str]] = {
    "ct": {"CT": ""},
    "t1": {"T1_in_phase": "InPhase", "T1_out_phase": "OutPhase"},
    "t2": {"T2_SPIR": ""},
}


class ChaosOptions(BaseModel):
    """Which scans."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scans: Literal["ct", "t1", "t2"] = "ct"
    """CT, or one of the MR sequences; T1's in and out of phase images share a ground truth and are two channels."""


class Chaos(Converter):
    """One data set per kind of scan: they have other channels and, in CT, other labels."""

    Options = ChaosOptions
    options: ChaosOptions = ChaosOptions()

    def spec(self) -> ConverterInfo:
        return ConverterInfo(
            name="chaos",
            title="Combined Healthy Abdominal Organ Segmentation 2019, CT and MR",
            licence="CC BY-NC-SA 4.0",
            citation="Kavur et al., Medical Image Analysis 69, 101950 (2021)",
            needs="the folder Train_Sets, alone or beside Test_Sets",
            dataset_name="CHAOS",
            scoring="chaos",
            submission="chaos",
        )

    def recognises(self, source: Path) -> bool:
        return any(folder.name == _SCAN and (folder.parent / _GROUND).is_dir() for folder in _all(source))

    def cases(self, source: Path) -> Sequence[SourceCase]:
        found = [self._case(folder) for folder in _all(source) if folder.name == _SCAN and self._wanted(folder)]
        if not any(case.split == "train" for case in found):
            raise DatasetError(
                f"{source} has no labelled {self.options.scans.upper()} scans", "choose others by --scans"
            )
        return tuple(sorted(found, key=lambda case: (case.split == "test", natural(case.case_id))))

    def dataset(self, source: Path) -> Dataset:
        labels = {"liver": 1} if self.options.scans == "ct" else dict(ORGANS)
        return Dataset(
            channel_names={str(index): name for index, name in enumerate(_CHANNELS[self.options.scans])},
            labels={"background": 0, **labels},
            numTraining=sum(case.split == "train" for case in self.cases(source)),
            file_ending=".nii.gz",
            name=f"{self.spec().dataset_name}_{self.options.scans.upper()}",
            reference=self.spec().citation,
            licence=self.spec().licence,
        )

    def convert_case(self, case: SourceCase, target: CaseTarget) -> list[tuple[str, str]]:
        told: list[tuple[str, str]] = []
        scans = [_read_scan(folder) for folder in case.images]
        volumes = [volume_of(series) for series in scans]
        labels = None
        if case.label is not None:
            labels = _read_ground(case.label, case.images[0], scans[0], is_ct=self.options.scans == "ct")
        for (volume, geometry), series, path in zip(volumes, scans, target.images, strict=True):
            told.extend((line, "it was left out") for line in series.aside)
            write_image(path, volume, geometry)
        if labels is not None and target.label is not None:
            write_label(target.label, labels, volumes[0][1])
        return told

    def example(self, root: Path) -> Path:
        return write_example(root)

    def _wanted(self, folder: Path) -> bool:
        names = [part.upper() for part in folder.parts[-4:-1]]
        kind = {"T1DUAL": "t1", "T2SPIR": "t2"}.get(names[-1], "ct")
        return kind == self.options.scans

    def _case(self, folder: Path) -> SourceCase:
        kind = self.options.scans
        subject = folder.parent.name if kind == "ct" else folder.parent.parent.name
        ground = folder.parent / _GROUND
        held_out = any(part.lower().startswith("test") for part in folder.parts[-5:-1])
        case_id = f"{kind}_{subject}"
        if not ground.is_dir() and not held_out:
            raise DatasetError(f"{folder.parent} has no {_GROUND}", "unpack the archive again", case_id=case_id)
        images = tuple(folder / inner for inner in _CHANNELS[kind].values())
        for image in images:
            if not image.is_dir():
                raise DatasetError(f"{image} is not there", "unpack the archive again", case_id=case_id)
        return SourceCase(
            case_id=case_id,
            images=images,
            label=ground if ground.is_dir() else None,
            split="train" if ground.is_dir() else "test",
            has_label=ground.is_dir(),
            # T1 and T2 of one number are one person; numbers of CT are others.
            provenance=Provenance(
                source=f"CHAOS {kind.upper()} {subject}", patient=f"chaos-{'ct' if kind == 'ct' else 'mr'}-{subject}"
            ),
        )


def _all(source: Path) -> list[Path]:
    return list(folders_below(source, depth=_DEPTH))


def _files(folder: Path) -> list[Path]:
    """Files by name, which is the challenge's order."""
    return sorted((path for path in folder.iterdir() if path.is_file() and not is_junk(path)), key=_by_name)


def _by_name(path: Path) -> Any:
    return natural(path.name)


def _read_scan(folder: Path) -> Series:
    """The one series of a folder.

    Raises:
        DatasetError: It has none, or several.
    """
    series, _ = read_series([file_entry(path) for path in _files(folder)])
    if len(series) != 1:
        raise DatasetError(f"{folder} holds {len(series)} series", "it should be one; unpack the archive again")
    return series[0]


def _read_ground(ground: Path, scan: Path, series: Series, *, is_ct: bool) -> npt.NDArray[np.uint8]:
    """Labels (Z, Y, X) in the order of the series.

    Raises:
        DatasetError: Not one PNG per slice, one of another size, or a grey value without a meaning.
    """
    pictures = [path for path in _files(ground) if path.suffix.lower() == ".png"]
    if len(pictures) != len(series.slices):
        raise DatasetError(
            f"{ground} has {len(pictures)} pictures for {len(series.slices)} slices", "unpack the archive again"
        )
    order = {item.where: index for index, item in enumerate(series.slices)}
    slices = [order[str(path)] for path in _files(scan) if str(path) in order]
    labels = np.zeros((len(pictures), *series.slices[0].shape), np.uint8)
    for position, path in zip(slices, pictures, strict=True):
        labels[position] = _labels_of(path, labels.shape[1:], is_ct=is_ct)
    return labels


def _labels_of(path: Path, shape: tuple[int, ...], *, is_ct: bool) -> npt.NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"))
    except (OSError, SyntaxError) as error:
        raise DatasetError(f"{path} cannot be read ({error})", "unpack the archive again") from error
    if grey.shape != shape:
        raise DatasetError(f"{path} has the shape {grey.shape}, its slice {shape} (y, x)", "unpack the archive again")
    if is_ct:
        return (grey > 0).astype(np.uint8)
    labels = np.zeros(grey.shape, np.uint8)
    for value, (above, last) in GREY_RANGES.items():
        labels[(grey > above) & (grey <= last)] = value
    unknown = np.unique(grey[(labels == 0) & (grey > 0)])
    if unknown.size:
        raise DatasetError(f"{path} has the grey value {unknown[0]}, which means no organ", "unpack the archive again")
    return labels


converter = Chaos()
