"""A miniature of CHAOS: two CT and two MR subjects, DICOM names running against positions, PNG ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autoseg.datasets.chaos import GREY_CODES
from dataset_conversion._synthetic_dicom import Scan, slice_bytes

_SHAPE = (6, 16, 16)


def write_example(root: Path) -> Path:
    """`Train_Sets` of both modalities and one CT of `Test_Sets`."""
    source = root / "CHAOS"
    for subject in (1, 21):
        write_ct(source / "Train_Sets" / "CT" / str(subject), subject, backwards=subject == 1)
        _write_mr(source / "Train_Sets" / "MR" / str(subject), subject)
    write_ct(source / "Test_Sets" / "CT" / "3", 3, backwards=True)
    for path in (source / "Test_Sets" / "CT" / "3" / "Ground").iterdir():
        path.unlink()
    (source / "Test_Sets" / "CT" / "3" / "Ground").rmdir()
    return source


def write_ct(folder: Path, subject: int, *, backwards: bool) -> npt.NDArray[np.uint8]:
    """One subject; returns labels (Z, Y, X) by position. Files are named from the last slice on where `backwards`."""
    labels = example_labels()
    labels[labels > 1] = 0
    noise = np.random.default_rng(subject).integers(-20, 20, _SHAPE)
    image = (np.where(labels == 1, 110, -1000) + noise).astype(np.int16)
    scan = Scan(series=subject, spacing_mm=(3.0, 0.7, 0.7))
    write_scan(folder / "DICOM_anon", image, scan, name="i{:04d},0000b.dcm", backwards=backwards)
    write_pictures(folder / "Ground", labels * np.uint8(255), name="liver_GT_{:03d}.png", backwards=backwards)
    return labels


def example_labels() -> npt.NDArray[np.uint8]:
    """All four organs, none of them symmetric along z."""
    labels = np.zeros(_SHAPE, np.uint8)
    labels[1:5, 2:9, 2:8], labels[0:2, 10:13, 2:5] = 1, 2
    labels[0:3, 10:13, 10:13], labels[3:6, 2:6, 11:15] = 3, 4
    return labels


def write_scan(
    folder: Path,
    volume: npt.NDArray[np.int16],
    scan: Scan,
    *,
    name: str,
    backwards: bool,
    step: int = 1,
    first: int = 0,
) -> None:
    """Slices of a volume (Z, Y, X) as DICOM files, numbered by `name` from `first` in steps."""
    folder.mkdir(parents=True)
    for rank, index in enumerate(_ranks(len(volume), backwards=backwards)):
        content = slice_bytes(volume[index], scan, number=rank + 1, position_mm=scan.position_mm(index))
        (folder / name.format(first + step * rank)).write_bytes(content)


def write_pictures(folder: Path, grey: npt.NDArray[np.uint8], *, name: str, backwards: bool, step: int = 1) -> None:
    """Slices of a volume (Z, Y, X) as PNG files."""
    from PIL import Image

    folder.mkdir(parents=True)
    for rank, index in enumerate(_ranks(len(grey), backwards=backwards)):
        Image.fromarray(grey[index]).save(folder / name.format(step * rank))


def _write_mr(folder: Path, subject: int) -> None:
    labels = example_labels()
    codes = np.zeros(max(GREY_CODES) + 1, np.uint8)
    codes[list(GREY_CODES)] = list(GREY_CODES.values())
    generator = np.random.default_rng(subject)
    no_scale = {"RescaleSlope": None, "RescaleIntercept": None, "Modality": "MR"}
    images = [(100 * labels.astype(np.int64) + generator.integers(0, 40, _SHAPE)).astype(np.int16) for _ in range(3)]
    dual, spir = folder / "T1DUAL", folder / "T2SPIR"
    scan = Scan(series=100 + subject, spacing_mm=(5.5, 1.9, 1.9), fields=no_scale)
    for image, phase, first in ((images[0], "OutPhase", 1), (images[1], "InPhase", 2)):
        write_scan(
            dual / "DICOM_anon" / phase, image, scan, name="IMG-0004-{:05d}.dcm", backwards=True, step=2, first=first
        )
    write_pictures(dual / "Ground", codes[labels], name="IMG-0004-{:05d}.png", backwards=True, step=2)
    write_scan(spir / "DICOM_anon", images[2], scan, name="IMG-0002-{:05d}.dcm", backwards=True)
    write_pictures(spir / "Ground", codes[labels], name="IMG-0002-{:05d}.png", backwards=True)


def _ranks(count: int, *, backwards: bool) -> range:
    return range(count - 1, -1, -1) if backwards else range(count)
