"""3D-IRCADb from the download to a submission: the commands of the how-to page, run as they stand there."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from autoseg.datasets import load_converter
from autoseg.datasets.submission_checks import mask_problems
from autoseg.io.images import read_image, read_label
from autoseg.specs.report import Report

PAGE = Path(__file__).parents[2] / "documentation" / "how-to" / "3d-ircadb.md"
SHORT = ("-c", "3d_fullres", "-f", "0", "--epochs", "2", "--iterations-per-epoch", "2", "--device", "cpu")
MORE = {
    "convert": ("--table", "off"),
    "plan-and-train": SHORT,
    "predict": ("--device", "cpu", "--disable-tta"),
    "submit": ("--subset", "true"),
}
"""What makes each command short, or fit two scans instead of a whole collection."""
NAMES = ("test-volume-0", "test-volume-1")
THINNED = 12
"""Pixels of the original per pixel of the copy, along rows and columns."""


def documented():
    """The first block of the page: verb and words of each line."""
    block = re.search(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)
    return [shlex.split(line)[1:] for line in block.splitlines()]


def thinned(content, first_row):
    """The DICOM slice with every twelfth pixel, from a row on."""
    from pydicom import dcmread

    found = dcmread(io.BytesIO(content))
    pixels = np.ascontiguousarray(found.pixel_array[first_row::THINNED, ::THINNED])
    down = np.asarray(found.ImageOrientationPatient[3:], float) * float(found.PixelSpacing[0]) * first_row
    position = np.asarray(found.ImagePositionPatient, float) + down
    found.Rows, found.Columns = pixels.shape
    found.ImagePositionPatient = [f"{value:.8g}" for value in position]
    found.PixelSpacing = [f"{THINNED * float(value):.8g}" for value in found.PixelSpacing]
    found.PixelData = pixels.tobytes()
    buffer = io.BytesIO()
    found.save_as(buffer)
    return buffer.getvalue()


def copies_of(patient, root):
    """Two coarse copies of a patient, as patients 1 and 2: other slices, and another first row."""
    for number, first_slice, first_row in ((1, 0, 0), (2, 2, 54)):
        folder = root / f"3Dircadb1.{number}"
        folder.mkdir(parents=True)
        for part in ("PATIENT_DICOM", "MASKS_DICOM"):
            with (
                zipfile.ZipFile(patient / f"{part}.zip") as source,
                zipfile.ZipFile(folder / f"{part}.zip", "w") as out,
            ):
                for name in source.namelist():
                    index = re.search(r"(?:PATIENT_DICOM|liver|livertumor\d)/image_(\d+)$", name)
                    if index and int(index.group(1)) % 5 == first_slice:
                        out.writestr(name, thinned(source.read(name), first_row))
    return root


@pytest.fixture(params=["miniature", "real"])
def source(request, tmp_path):
    """A made-up download, and one made of a real patient."""
    if request.param == "miniature":
        return load_converter("ircadb").example(tmp_path / "download")
    patient = request.getfixturevalue("test_data") / "3Dircadb1" / "3Dircadb1.17"
    return copies_of(patient, tmp_path / "download" / "3Dircadb1")


def test_the_documented_commands_lead_to_a_submission(source, tmp_path, command):
    new, references, masks = (tmp_path / name for name in ("NEW_SCANS", "REFERENCES", "MASKS"))
    places = {"3Dircadb1": source, "NEW_SCANS": new, "REFERENCES": references, "MASKS": masks}
    report, archive = tmp_path / "report.json", tmp_path / "lits.zip"
    places |= {path.name: path for path in (report, archive)}
    raw = tmp_path / "raw" / "Dataset017_IRCADbLiverTumour"
    verbs = []
    for verb, *words in documented():
        result = command(verb, *(places.get(word, word) for word in words), *MORE.get(verb, ()), workspace=tmp_path)
        assert result.code == 0, f"{verb}: {result.said}"
        verbs.append(verb)
        if verb == "convert":  # the scans to segment are those it knows, under the names of a test set
            for folder, ending, target in (("imagesTr", "_0000.nii.gz", new), ("labelsTr", ".nii.gz", references)):
                target.mkdir()
                for number, name in enumerate(NAMES, start=1):
                    shutil.copy(raw / folder / f"ircadb01_{number:02d}{ending}", target / f"{name}{ending}")
    assert verbs == ["convert", "check", "plan-and-train", "predict", "evaluate", "submit"]
    assert {2} < {int(value) for name in NAMES for value in np.unique(read_label(references / f"{name}.nii.gz")[0])}
    found = Report.load(report)
    assert found.protocol == "lits"
    assert [case.id for case in found.cases] == list(NAMES)
    assert set(found.summary) >= {"liver", "lesion"}
    assert found.summary["liver"]["dice_global"].mean is not None
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "packed")
    for name in NAMES:
        mask = tmp_path / "packed" / f"{name.replace('volume', 'segmentation')}.nii"
        assert mask_problems(mask, new / f"{name}_0000.nii.gz", {0, 1, 2}) == ()
        assert read_label(mask)[1].differences(read_image(new / f"{name}_0000.nii.gz").geometry) == ()
