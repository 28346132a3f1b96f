"""DICOM studies: which series becomes a case, how it is called, and what is refused without spoiling the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter, recognising
from autoseg.io.images import read_image
from autoseg.io.raw import RawDataset, find_images
from autoseg.stages import convert
from dataset_conversion._synthetic_dicom import Scan, slice_files

DICOM = load_converter("dicom")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return DICOM.example(tmp_path / "source")


def _convert(source: Path, series: str = "") -> RawDataset:
    options = convert.Options("dicom", source, workers=1, options=(("series", series),))
    workspace = source.parent.parent / f"workspace{series.replace('*', 'x')}"
    return RawDataset.open(convert.run(options, Workspace(workspace)))


def _add(folder: Path, scan: Scan, slices: int = 11) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, content in slice_files(np.full((slices, 8, 10), 50, np.int16), scan):
        (folder / f"{scan.series}-{index}.dcm").write_bytes(content)


def _fields(description: str = "late", number: str = "7", **more: str) -> dict[str, str]:
    """Of the study in the folder `second`."""
    study = f"1.2.826.0.1.3680043.2.1125.9.{ord('b')}"
    return {"StudyInstanceUID": study, "SeriesDescription": description, "SeriesNumber": number, **more}


def test_one_case_per_study_named_by_its_folder(source: Path) -> None:
    dataset = _convert(source)
    assert [case.case_id for case in dataset.test] == ["first", "second"]
    assert dataset.spec.channels() == ("CT",)
    assert dataset.spec.numTraining == 0
    image = read_image(dataset.test[1].images[0])
    assert np.allclose(image.geometry.spacing_mm, (2.5, 0.8, 0.8), rtol=0, atol=1e-6)
    assert image.array.min() == -1024
    patients = {origin.patient for origin in dataset.spec.provenance.values()}
    assert len(patients) == 2
    assert not any("patient" in str(name) for name in patients)  # a digest, not the identifier
    # What `predict -i` reads.
    assert len(find_images(dataset.folder / "imagesTs", channels=1)) == 2


def test_recognised_unless_another_converter_knows_it(source: Path, tmp_path: Path) -> None:
    assert recognising(source) == ("dicom",)
    assert not DICOM.recognises(load_converter("ircadb").example(tmp_path / "other"))


def test_several_series_need_a_choice(source: Path) -> None:
    _add(source / "second" / "more", Scan(series=8, fields=_fields()), slices=5)
    with pytest.raises(
        DatasetError, match=r"second: the study holds 2 series \(number 3, 'thin', CT, 11 .*'late'"
    ) as caught:
        _convert(source)
    assert "choose one with --series NUMBER" in caught.value.cure
    written = source.parent.parent / "workspace" / "raw" / "Dataset001_Dicom" / "imagesTs"
    assert [path.name for path in written.iterdir()] == ["first_0000.nii.gz"]


@pytest.mark.parametrize(
    ("wanted", "slices"),
    [("7", 5), ("LATE", 5), ("l*e", 5), ("1.2.826.0.1.3680043.2.1125.8", 5), ("largest", 11), ("thin", 11)],
)
def test_choice_of_series(source: Path, wanted: str, slices: int) -> None:
    _add(source / "second" / "more", Scan(series=8, fields=_fields()), slices=5)
    assert _convert(source / "second", wanted).test[0].case_id == "second"
    (case,) = _convert(source / "second", wanted).test
    assert read_image(case.images[0]).array.shape == (1, slices, 8, 10)


def test_choices_that_fit_none_or_several(source: Path) -> None:
    _add(source / "second" / "more", Scan(series=8, fields=_fields()))
    with pytest.raises(DatasetError, match=r"no series of the study is 'early' \(.*'late'"):
        _convert(source / "second", "early")
    with pytest.raises(DatasetError, match=r"the study holds 2 series that match"):
        _convert(source / "second", "*")
    with pytest.raises(DatasetError, match=r"the study holds 2 series that match"):
        _convert(source / "second", "largest")


def test_every_series_a_case(source: Path) -> None:
    _add(source / "second" / "more", Scan(series=8, fields=_fields()))
    _add(source / "second" / "again", Scan(series=9, fields=_fields()))
    _add(source / "second" / "pair", Scan(series=6, fields=_fields()), slices=2)
    dataset = _convert(source, "all")
    assert [case.case_id for case in dataset.test] == ["first", "second_3", "second_7-1", "second_7-2"]


def test_another_modality_is_refused(source: Path) -> None:
    _add(source / "third", Scan(series=8, fields=_fields(Modality="MR", StudyInstanceUID="1.2.3")))
    with pytest.raises(DatasetError, match="case third: the series is MR, most of CT: convert them apart"):
        _convert(source)
    (case,) = _convert(source / "third").test
    assert case.case_id == "third"


def test_damaged_header_spoils_its_own_study(source: Path) -> None:
    path = source / "second" / "IM45"
    _add(source / "lonely", Scan(series=8, fields={"NumberOfFrames": "5"}), slices=1)
    content = path.read_bytes()
    path.write_bytes(content[:200])
    with pytest.raises(DatasetError, match=r"lonely: .*8-0\.dcm holds 5 frames \(and 1 more: second\)"):
        _convert(source)
    path.write_bytes(content[:-50])
    with pytest.raises(DatasetError, match=r"second/IM45 cannot be read"):
        _convert(source / "second")


def test_missing_slice(source: Path) -> None:
    (source / "second" / "IM45").unlink()
    with pytest.raises(
        DatasetError, match=r"second: 1 slice missing between .*IM46 .*IM44 .*: 5\.000 mm instead of 2\.500"
    ):
        _convert(source)


def test_a_missing_slope_is_told(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    _add(source / "third", Scan(series=8, fields={"RescaleSlope": None, "StudyInstanceUID": "1.2.3"}))
    _convert(source)
    assert "third: its header has no rescale slope, so its values may not be HU" in caplog.text


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "note.dat").write_text("no DICOM")
    assert not DICOM.recognises(tmp_path)
    with pytest.raises(DatasetError, match="holds no DICOM images: give a folder of DICOM files"):
        DICOM.cases(tmp_path)
