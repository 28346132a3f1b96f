"""A miniature of 3D-IRCADb: two made-up patients in the layout of the download, with its quirks."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dataset_conversion._synthetic_dicom import Scan, slice_files

_SHAPE = (12, 16, 18)
_SPACINGS = ((1.6, 0.743, 0.743), (2.5, 0.7, 0.7))


def write_example(root: Path) -> Path:
    """Patient 1 in zips with two tumour folders, patient 2 unpacked in doubled folders and without tumour."""
    source = root / "3Dircadb1"
    files = {number: _patient(number) for number in (1, 2)}
    first, second = source / "3Dircadb1.1", source / "3Dircadb1.2"
    first.mkdir(parents=True)
    for part in ("PATIENT_DICOM", "MASKS_DICOM"):
        members = {name: content for name, content in files[1].items() if name.startswith(part)}
        write_zip(first / f"{part}.zip", members)
        for name, content in files[2].items():
            if name.startswith(part):
                path = second / part / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    (first / "MESHES_VTK.zip").write_bytes(b"never opened")
    (first / "License.pdf").write_bytes(b"%PDF-1.4")
    return source


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """A zip of files; an existing one is replaced."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _patient(number: int) -> dict[str, bytes]:
    """Path -> content. `image_10` sorts before `image_2`, files have no ending, masks are 0 and 255."""
    spacing = _SPACINGS[number - 1]
    liver, tumours, cyst = _masks()
    generator = np.random.default_rng(number)
    image = np.full(_SHAPE, -1000, np.int16)
    image[:, 2:-2, 2:-2] = generator.integers(20, 60, size=(_SHAPE[0], _SHAPE[1] - 4, _SHAPE[2] - 4))
    image[liver] += 60
    folders = {"liver": liver, "skin": image > -500, ("liverkyst", "portalvein1")[number - 1]: cyst}
    if number == 1:
        folders |= {"livertumor01": tumours[0], "livertumor02": tumours[1]}
    files = {}
    for index, content in slice_files(image, Scan(series=10 * number, spacing_mm=spacing)):
        files[f"PATIENT_DICOM/image_{index}"] = content
    for offset, (folder, mask) in enumerate(folders.items(), start=1):
        scan = Scan(series=10 * number + offset, spacing_mm=spacing)
        for index, content in slice_files(mask.astype(np.uint8) * 255, scan):
            files[f"MASKS_DICOM/{folder}/image_{index}"] = content
    return files


def _masks() -> tuple[npt.NDArray[np.bool_], tuple[npt.NDArray[np.bool_], ...], npt.NDArray[np.bool_]]:
    """Liver, two tumours inside of it, and a cyst."""
    liver, first, second, cyst = (np.zeros(_SHAPE, dtype=bool) for _ in range(4))
    liver[2:11, 4:12, 4:13] = True
    first[3:6, 5:8, 5:8] = True
    second[7:9, 8:11, 9:12] = True
    cyst[4:6, 9:11, 5:7] = True
    return liver, (first, second), cyst
