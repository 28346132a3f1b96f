"""3D-IRCADb: layouts, mask folders, pairing, damaged downloads, and the real patient 17."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.core.errors import DatasetError, RegistryError
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter, recognising
from autoseg.io.images import read_image, read_label
from autoseg.io.raw import RawDataset
from autoseg.stages import convert
from dataset_conversion._ircadb_example import write_zip
from dataset_conversion._synthetic_dicom import Scan, slice_bytes

IRCADB = load_converter("ircadb")
Files = dict[str, bytes]
FIRST = "3Dircadb1.1"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return IRCADB.example(tmp_path / "source")


def _convert(source: Path, **options: Any) -> RawDataset:
    values = tuple({"table": "off", **options}.items())
    workspace = Workspace(source.parent.parent / "workspace")
    return RawDataset.open(convert.run(convert.Options("ircadb", source, workers=1, options=values), workspace))


def _members(path: Path) -> Files:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _change(source: Path, part: str, change: Callable[[Files], Files]) -> None:
    path = source / FIRST / f"{part}.zip"
    write_zip(path, change(_members(path)))


def _labels(dataset: RawDataset, number: int) -> np.ndarray:
    case = next(case for case in dataset.training if case.case_id == f"ircadb01_{number:02d}")
    assert case.label is not None
    return read_label(case.label)[0]


def test_tumours_are_written_over_the_liver_in_slice_order(source: Path) -> None:
    dataset = _convert(source)
    assert dataset.spec.labels == {"background": 0, "liver": 1, "tumour": 2}
    labels = _labels(dataset, 1)
    expected = np.zeros((12, 16, 18), np.uint8)
    expected[2:11, 4:12, 4:13] = 1
    expected[3:6, 5:8, 5:8] = 2
    expected[7:9, 8:11, 9:12] = 2
    assert np.array_equal(labels, expected)
    assert not (_labels(dataset, 2) == 2).any()
    image = read_image(dataset.training[0].images[0])
    assert image.geometry.differences(read_label(dataset.training[0].label)[1], tolerance=0) == ()  # type: ignore[arg-type]
    assert np.allclose(image.geometry.spacing_mm, (1.6, 0.743, 0.743), rtol=0, atol=1e-6)
    provenance = dataset.spec.provenance["ircadb01_01"]
    assert (provenance.overlap_group, provenance.patient) == ("lits-28", "3D-IRCADb-01 1")


def test_named_organs_and_their_aliases(source: Path) -> None:
    dataset = _convert(source, structures="liver, PortalVein")
    assert dataset.spec.labels == {"background": 0, "liver": 1, "portalvein": 2}
    assert [case.case_id for case in dataset.training] == ["ircadb01_02"]  # the other has no such mask
    assert np.count_nonzero(_labels(dataset, 2) == 2) == 8
    with pytest.raises(DatasetError, match="no patient has masks of spleen: name other structures"):
        _convert(source, structures="spleen")


def test_a_pair_of_sides_is_the_whole(source: Path) -> None:
    def sides(files: Files) -> Files:
        both = {name.replace("/liver/", f"/{side}kidney/"): content
                for name, content in files.items() if "/liver/" in name for side in ("left", "right")}  # fmt: skip
        return files | both

    _change(source, "MASKS_DICOM", sides)
    assert np.count_nonzero(_labels(_convert(source, structures="kidneys"), 1)) == 9 * 8 * 9


def test_a_structure_that_later_ones_cover(source: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"later structures cover all of 'liver' .*: name structures that contain others"
    ):
        _convert(source, structures="liver,skin")
    shutil.rmtree(source.parent.parent / "workspace")
    labels = _labels(_convert(source, structures="skin,liver"), 1)
    assert np.count_nonzero(labels == 2) == 9 * 8 * 9


def test_options(source: Path) -> None:
    with pytest.raises(RegistryError, match=r"option 'structures' = .*no structure 'livr', .*liver"):
        IRCADB.with_options({"structures": "livr"})
    with pytest.raises(RegistryError, match="name each structure once"):
        IRCADB.with_options({"structures": "liver,liver"})


@pytest.mark.parametrize("layout", ["set zip", "patient zips", "folders in the set zip", "one patient"])
def test_every_layout_gives_the_same_files(source: Path, layout: str, tmp_path: Path) -> None:
    expected = _convert(source)
    other = tmp_path / "other" / "3Dircadb1"
    other.mkdir(parents=True)
    archives = {folder.name: other / f"{folder.name}.zip" for folder in sorted(source.iterdir())}
    for folder in sorted(source.iterdir()):
        files = {str(path.relative_to(source)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        write_zip(archives[folder.name], files)
    if layout == "set zip":
        write_zip(tmp_path / "3Dircadb1.zip", {f"3Dircadb1/{path.name}": path.read_bytes() for path in other.iterdir()})
        other = tmp_path / "3Dircadb1.zip"
    elif layout == "folders in the set zip":
        files = {f"3Dircadb1/{name}": content for path in other.iterdir() for name, content in _members(path).items()}
        other = tmp_path / "3Dircadb1.zip"
        write_zip(other, files)
    elif layout == "one patient":
        other = source / "3Dircadb1.2"
    assert IRCADB.recognises(other)
    options = convert.Options("ircadb", other, id=2, workers=1, options=(("table", "off"),))
    again = RawDataset.open(convert.run(options, Workspace(tmp_path / "again")))
    assert len(again.training) == (1 if layout == "one patient" else 2)
    for case in again.training:
        same = next(one for one in expected.training if one.case_id == case.case_id)
        assert case.images[0].read_bytes() == same.images[0].read_bytes()
        assert case.label.read_bytes() == same.label.read_bytes()  # type: ignore[union-attr]


def test_recognised_by_name(source: Path) -> None:
    assert recognising(source) == ("ircadb",)


def _without(name: str) -> Callable[[Files], Files]:
    return lambda files: {key: content for key, content in files.items() if key != name}


def _swapped(files: Files) -> Files:
    there = {"liver": "livertumor01", "livertumor01": "liver"}
    return {"/".join(there.get(word, word) for word in name.split("/")): content for name, content in files.items()}


def _with(**new: bytes) -> Callable[[Files], Files]:
    return lambda files: files | {name.replace("__", "/"): content for name, content in new.items()}


def _made(shape: tuple[int, int] = (16, 18), value: int = 255, **scan: Any) -> bytes:
    pixels = np.full(shape, value, np.uint8)
    made = Scan(**{"series": 99, **scan})
    return slice_bytes(pixels, made, number=3, position_mm=made.position_mm(3))


def _scout() -> Files:
    scan = Scan(fields={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]})
    return {"PATIENT_DICOM/image_0": slice_bytes(np.zeros((8, 8), np.int16), scan, number=0, position_mm=(0, 0, 0))}


def _beyond() -> bytes:
    return slice_bytes(np.zeros((16, 18), np.uint8), Scan(), number=99, position_mm=(0, 0, 9))


IMAGES_DAMAGE = {
    "missing slice": (_without("PATIENT_DICOM/image_5"), r"1 slice missing between .*image_4 .*: 3\.200 mm instead"),
    "two series": (_with(PATIENT_DICOM__image_99=_made()), r"DICOM\.zip holds 2 series \(CT, 12 .*; CT, 1 s"),
    "foreign file": (_with(PATIENT_DICOM__note=b"x"), r"PATIENT_DICOM/note is no DICOM file"),
    "no files": (lambda files: {"__MACOSX/x": b""}, "holds no PATIENT_DICOM with files"),
    "no slices": (lambda files: _scout(), r"PATIENT_DICOM\.zip holds no CT slices"),
}
MASKS_DAMAGE = {
    "swapped": (_swapped, r"livertumor01 of .*MASKS_DICOM\.zip lies 9\d\.\d% outside of the liver"),
    "slice missing": (_without("MASKS_DICOM/liver/image_7"), r"liver has no slice for .*image_7 \(1 of 12 missing\)"),
    "slice without image": (_with(MASKS_DICOM__liver__image_99=_beyond()), "number 99, which no CT slice has"),
    "slice twice": (_with(MASKS_DICOM__liver__image_99=_made()), "have the same instance number"),
    "another shape": (_with(MASKS_DICOM__liver__image_3=_made((16, 17))), r"image_3 has \(16, 17\) pixels, its CT"),
    "other pixels": (
        _with(MASKS_DICOM__liver__image_3=_made(spacing_mm=(1.6, 0.7, 0.7))),
        r"image_3 has pixels of \(0\.7, 0\.7\) mm",
    ),
    "elsewhere": (
        _with(MASKS_DICOM__liver__image_3=_made(spacing_mm=(1.7, 0.743, 0.743))),
        r"image_3 lies 0\.300 mm away from its CT slice",
    ),
    "two values": (_with(MASKS_DICOM__liver__image_3=_made(value=7)), r"holds 7 beside 0 and 255"),
    "no DICOM": (_with(MASKS_DICOM__liver__image_3=b"x"), "liver/image_3 is no DICOM file"),
    "unknown folder": (_with(MASKS_DICOM__pankreas__image_0=b"x"), "unknown mask folder 'pankreas': leave it out"),
    "no liver": (
        lambda files: {name: content for name, content in files.items() if "/liver/" not in name},
        "no mask folder 'liver'",
    ),
    "escape": (lambda files: files | {"../../evil": b"x"}, r"member '\.\./\.\./evil', which lies outside"),
}
DAMAGE = {
    **{f"images, {name}": ("PATIENT_DICOM", *rest) for name, rest in IMAGES_DAMAGE.items()},
    **{f"masks, {name}": ("MASKS_DICOM", *rest) for name, rest in MASKS_DAMAGE.items()},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_spares_the_other_case(source: Path, damage: str) -> None:
    part, change, message = DAMAGE[damage]
    _change(source, part, change)
    with pytest.raises(DatasetError, match=message) as caught:
        _convert(source)
    assert caught.value.case_id == "ircadb01_01"
    assert caught.value.cure
    files = sorted(path.name for path in (source.parent.parent / "workspace").rglob("*") if path.is_file())
    assert files == ["conversion.json", "ircadb01_02.nii.gz", "ircadb01_02_0000.nii.gz"]
    assert not (source.parent / "evil").exists()


@pytest.mark.parametrize("part", ["PATIENT_DICOM", "MASKS_DICOM"])
@pytest.mark.parametrize("structures", ["", "liver"])
def test_truncated_zips(source: Path, part: str, structures: str) -> None:
    path = source / FIRST / f"{part}.zip"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match=rf"{part}\.zip is not a whole zip file .*: download it again"):
        _convert(source, structures=structures)
    path.unlink()
    with pytest.raises(DatasetError, match=f"3Dircadb1.1 holds no {part} with files for ircadb01_01"):
        _convert(source, structures=structures)


def test_unknown_folders_can_be_left_out(source: Path) -> None:
    _change(source, "MASKS_DICOM", _with(MASKS_DICOM__Pankreas__image_0=b"x"))
    assert len(_convert(source, ignore="Pankreas").training) == 2


def test_empty_masks_and_repeated_numbers(source: Path) -> None:
    empty = {
        f"MASKS_DICOM__{folder}__image_{index}": slice_bytes(
            np.zeros((16, 18), np.uint8), Scan(), number=index, position_mm=Scan().position_mm(index)
        )
        for folder in ("livertumor01", "liver")
        for index in range(12)
    }
    tumour_only = {name: content for name, content in empty.items() if "tumor" in name}
    _change(source, "MASKS_DICOM", _with(**tumour_only))
    case = IRCADB.with_options({"table": "off"}).cases(source)[0]
    assert _told(case, source)[0] == ("the mask livertumor01 is empty", "look at the label")
    _change(source, "MASKS_DICOM", _with(**empty))
    with pytest.raises(DatasetError, match=r"the liver mask of .*MASKS_DICOM\.zip is empty"):
        _told(case, source)
    _change(source, "PATIENT_DICOM", _with(PATIENT_DICOM__image_5=slice_bytes(
        np.zeros((16, 18), np.int16), Scan(series=10), number=4, position_mm=Scan().position_mm(5))))  # fmt: skip
    with pytest.raises(DatasetError, match="have repeated instance numbers"):
        _told(case, source)


def test_a_tumour_partly_outside_is_left_out(source: Path) -> None:
    def shift(files: Files) -> Files:
        for index in range(3, 6):
            pixels = np.zeros((16, 18), np.uint8)
            pixels[3:6, 5:8] = 255  # the liver begins at row 4
            files[f"MASKS_DICOM/livertumor01/image_{index}"] = slice_bytes(
                pixels, Scan(), number=index, position_mm=Scan().position_mm(index)
            )
        return files

    _change(source, "MASKS_DICOM", shift)
    case = IRCADB.with_options({"table": "off"}).cases(source)[0]
    ((problem, _),) = _told(case, source)
    assert problem.startswith("livertumor01 of")
    assert problem.endswith("lies 33.3% outside of the liver and is left out")


def _told(case: Any, source: Path, **options: Any) -> Any:
    out = source.parent / "out"
    target = convert.CaseTarget((out / "image_0000.nii.gz",), out / "label.nii.gz")
    return IRCADB.with_options({"table": "off", **options}).convert_case(case, target)


def test_published_slice_counts(source: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"PATIENT_DICOM\.zip has 12 slices, published are 129 .*: download it again"
    ):
        _convert(source, table="fail")
    case = IRCADB.cases(source)[0]
    problems = [problem for problem, _ in _told(case, source, table="warn")]
    assert problems == ["it has 12 slices, published are 129", "it has 2 liver tumour folders, published are 7"]


def test_wrong_folder(source: Path, tmp_path: Path) -> None:
    shutil.rmtree(source)
    source.mkdir()
    with pytest.raises(DatasetError, match=r"has no folder or zip called like 3Dircadb1\.17: give the folder"):
        IRCADB.cases(source)
    (tmp_path / "3Dircadb1.zip").write_bytes(b"PK no zip")
    assert not IRCADB.recognises(tmp_path / "3Dircadb1.zip")


def test_real_patient(test_data: Path, tmp_path: Path) -> None:
    options = convert.Options("auto", test_data / "3Dircadb1", workers=1)
    dataset = RawDataset.open(convert.run(options, Workspace(tmp_path)))
    (case,) = dataset.training
    image = read_image(case.images[0])
    labels, geometry = read_label(case.label)  # type: ignore[arg-type]
    assert case.case_id == "ircadb01_17"
    assert np.bincount(labels.ravel()).tolist()[1:] == [1_920_507, 185_990]
    assert np.allclose(geometry.spacing_mm, (1.6, 0.743, 0.743), rtol=0, atol=1e-6)
    assert (image.array.min(), image.array.max()) == (-1024, 1023)
    assert image.geometry == geometry
    centre = geometry.affine() @ [*np.argwhere(labels == 2).mean(axis=0), 1]
    assert np.allclose(centre[2::-1], (151.673, 132.676, 152.561), rtol=0, atol=0.01)
    assert dataset.spec.provenance[case.case_id].overlap_group == "lits-44"


def test_a_patient_that_is_there_twice(tmp_path: Path) -> None:
    source = IRCADB.example(tmp_path)
    shutil.copytree(source / "3Dircadb1.2", source / "again" / "3Dircadb1.2")
    with pytest.raises(DatasetError, match=r"3Dircadb1\.2 and .*/again/3Dircadb1\.2 are the same patient: remove one"):
        IRCADB.cases(source)
    shutil.make_archive(str(source / "3Dircadb1.2"), "zip", source / "3Dircadb1.2")
    shutil.rmtree(source / "again")
    assert [case.case_id for case in IRCADB.cases(source)] == ["ircadb01_01", "ircadb01_02"]  # unpacked beside its zip
