"""Formats by challenge: names, values and the rules that each has beside shape and grid."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from autoseg.core.errors import RegistryError, SubmissionError
from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.datasets._archive import write_zip
from autoseg.datasets.submission import Entry, format_names, load_format
from autoseg.datasets.submission_checks import check_submission
from autoseg.datasets.submission_defaults import complete
from autoseg.io import nifti
from autoseg.io.case_files import find_images
from autoseg.io.images import read_image, read_label, write_image, write_label
from autoseg.io.raw import RawDataset
from autoseg.stages import convert, submit
from dataset_conversion.brats import write_example

GRID = Geometry((4, 5, 6), (2.0, 1.0, 1.0), (3.0, 2.0, 1.0))
CHALLENGE_GRID = Geometry((4, 5, 6), (1.0, 1.0, 1.0), (0.0, -239.0, 0.0))


def image_of(folder: Path, name: str, grid: Geometry = GRID) -> Path:
    path = folder / f"{name}_0000.nii.gz"
    write_image(path, np.ones(grid.shape, np.int16), grid)
    return path


def written(form: object, entry: Entry, labels: np.ndarray, folder: Path) -> Path:
    path = folder / Path(entry.path).name
    path.write_bytes(form.encode(entry, labels))
    return path


def test_names_of_all_formats() -> None:
    assert {"msd", "lits", "kits19", "kits23", "chaos", "brats2013", "brats2023", "brats2026"} <= set(format_names())
    assert load_format("kits19").name == "kits19"
    with pytest.raises(RegistryError, match="did you mean 'brats20"):
        load_format("brats2027")
    with pytest.raises(RegistryError, match="option 'year'"):
        load_format("brats")
    with pytest.raises(RegistryError, match="tasks other than GLI exist since 2023"):
        load_format("brats2021", {"task": "PED"})


def test_lits_wants_all_test_volumes(tmp_path: Path) -> None:
    form = load_format("lits")
    cases = {f"test-volume-{number}": tmp_path / "x.nii.gz" for number in range(70)}
    entries = form.entries(cases)
    assert [entry.path for entry in entries] == [f"test-segmentation-{number}.nii" for number in range(70)]
    del cases["test-volume-7"]
    with pytest.raises(SubmissionError, match=r"1 of the 70 test cases have no image: test-volume-7: add them"):
        form.entries(cases)
    assert len(load_format("lits", {"subset": "true"}).entries(cases)) == 69
    for name in ("volume-3", "test-volume-70", "test-volume-07"):
        with pytest.raises(SubmissionError, match=f"{name} is no test volume of LiTS"):
            form.entries({name: tmp_path})
    with pytest.raises(SubmissionError, match=r"69 of the 70 .*: test-volume-1, test-volume-2, test-volume-3, \.\.\.:"):
        form.entries({"test-volume-0": tmp_path})


def test_lits_masks_are_plain_and_laid_out_as_the_volume(tmp_path: Path) -> None:
    form = load_format("lits", {"subset": True})
    exchanged = Geometry(
        (6, 4, 6), (1.0, 2.0, 1.0), (0.0, 0.0, 0.0), ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    )
    (entry,) = form.entries({"test-volume-59": image_of(tmp_path, "test-volume-59", exchanged)})
    labels = np.random.default_rng(0).integers(0, 3, exchanged.shape).astype(np.uint8)
    path = written(form, entry, labels, tmp_path)
    assert path.name == "test-segmentation-59.nii"
    stored = nib.load(path)
    assert stored.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(stored.dataobj), labels.transpose())
    assert np.array_equal(stored.affine, nib.load(entry.image).affine)
    assert form.problems(path, entry, form.allowed) == ()
    nib.save(nib.Nifti1Image(labels.transpose()[..., None], stored.affine), path)
    assert form.problems(path, entry, form.allowed) == ("it has 4 dimensions, wanted are 3",)


def test_plain_masks_are_packed_small_and_equal_each_time(tmp_path: Path) -> None:
    files = {"b.nii": lambda: bytes(100_000), "a.nii.gz": lambda: b"packed"}
    first = write_zip(tmp_path / "1.zip", files)
    assert first == write_zip(tmp_path / "2.zip", files)
    with zipfile.ZipFile(tmp_path / "1.zip") as file:
        assert [(one.filename, one.compress_type) for one in file.infolist()] == [
            ("a.nii.gz", zipfile.ZIP_STORED), ("b.nii", zipfile.ZIP_DEFLATED)
        ]  # fmt: skip
        assert file.getinfo("b.nii").compress_size < 2000


def test_kits_of_2019(tmp_path: Path) -> None:
    form = load_format("kits19")
    cases = {f"case_{number:05d}": tmp_path / "x.nii.gz" for number in range(210, 300)}
    assert [form.entries(cases)[index].path for index in (0, -1)] == [
        "prediction_00210.nii.gz", "prediction_00299.nii.gz"
    ]  # fmt: skip
    with pytest.raises(SubmissionError, match="case_00209 is no test case of KiTS19: predict case_00210 to"):
        form.entries({"case_00209": tmp_path})
    with pytest.raises(SubmissionError, match="89 of the 90 test cases have no image: case_00211, "):
        form.entries({"case_00210": tmp_path})
    assert form.refuses((0, 1, 2, 3)) == "the data set's label 3 means nothing to it"
    assert load_format("kits23").refuses((0, 1, 2, 3)) == ""
    assert form.container == "zip"


def test_kits_of_2023_sums_the_affine(tmp_path: Path) -> None:
    form = load_format("kits23")
    (entry,) = form.entries({"case_00400": image_of(tmp_path, "case_00400")})
    labels = np.full(GRID.shape, 3, np.uint8)
    path = written(form, entry, labels, tmp_path)
    assert form.problems(path, entry, form.allowed) == ()
    # Each number within 0.001, in sum not.
    z, y, x = GRID.origin_mm
    write_label(path, labels, replace(GRID, origin_mm=(z + 0.0008, y + 0.0008, x + 0.0008)))
    (problem,) = form.problems(path, entry, form.allowed)
    assert problem == "its affine differs from its image's by 0.0024 in sum"
    with pytest.raises(SubmissionError, match="kidney_1 is no test case of KiTS23: name the cases case_NNNNN"):
        form.entries({"kidney_1": tmp_path})


@pytest.mark.parametrize(
    ("name", "options", "values"),
    [
        ("brats2013", {}, {0: 0, 1: 2, 2: 1, 3: 3, 4: 4}),
        ("brats2018", {}, {0: 0, 1: 2, 2: 1, 3: 4}),
        ("brats2022", {}, {0: 0, 1: 2, 2: 1, 3: 4}),
        ("brats2023", {"task": "PED"}, {0: 0, 1: 2, 2: 1, 3: 3}),
        ("brats2024", {}, {0: 0, 1: 2, 2: 1, 3: 3, 4: 4}),
        ("brats2024", {"task": "MET"}, {0: 0, 1: 2, 2: 1, 3: 3}),
        ("brats2025", {"task": "MET"}, {0: 0, 1: 2, 2: 1, 3: 3, 4: 4}),
        ("brats2024", {"task": "PED"}, {0: 0, 1: 4, 2: 2, 3: 3, 4: 1}),
        ("brats2024", {"task": "MEN-RT"}, {0: 0, 1: 1}),
        ("brats2026", {"task": "SSA"}, {0: 0, 1: 2, 2: 1, 3: 3}),
        ("brats2026", {"values": "2023"}, {0: 0, 1: 2, 2: 1, 3: 3}),
    ],
)
def test_brats_writes_the_values_of_the_year(name: str, options: dict[str, str], values: dict[int, int]) -> None:
    form = load_format(name, options)
    assert form.values == values
    assert form.refuses(values) == ""
    assert form.allowed == tuple(sorted(values.values()))
    own = range(len(values) + 1)
    assert form.refuses(own).startswith(f"the data set has the labels {', '.join(map(str, own))}, those of")


def test_brats_names(tmp_path: Path) -> None:
    assert load_format("brats2015").entries({"HGG_brats_2013_pat0001_1": tmp_path})[0].path.startswith("HGG_brats_2013")
    assert load_format("brats2018").entries({"Brats18_CBICA_AAB_1": tmp_path})
    assert load_format("brats2021").entries({"BraTS2021_00001": tmp_path})[0].path == "BraTS2021_00001.nii.gz"
    assert load_format("brats2024", {"task": "MEN-RT"}).entries({"BraTS-MEN-RT-0001-00012-000": tmp_path})
    for name, case in (
        ("brats2020", "Brats18_CBICA_AAB_1"),
        ("brats2021", "BraTS2021_0001x"),
        ("brats2023", "a_00001"),
    ):
        with pytest.raises(SubmissionError, match=f"{case} is no case name of {name}: choose the format of its year"):
            load_format(name).entries({case: tmp_path})
    with pytest.raises(SubmissionError, match="BraTS-PED-00001-000 is no case of GLI: give --task PED"):
        load_format("brats2024").entries({"BraTS-PED-00001-000": tmp_path})
    with pytest.raises(SubmissionError, match="b_00001 and a_00001 have the same id"):
        load_format("brats2021").entries({"a_00001": tmp_path, "b_00001": tmp_path})


def test_brats_goes_by_the_id_at_the_end(tmp_path: Path) -> None:
    form = load_format("brats2021")
    entries = form.entries({name: image_of(tmp_path, name) for name in ("BraTS2021_00001", "BraTS2021_00002")})
    folder = tmp_path / "answer"
    folder.mkdir()
    for entry, name in zip(entries, ("team-00001.nii.gz", "team-00002.nii.gz"), strict=True):
        (folder / name).write_bytes(form.encode(entry, np.zeros(GRID.shape, np.uint8)))
    assert [(one.path, one.problems) for one in check_submission(folder, form, entries, form.allowed)] == [
        ("team-00001.nii.gz", ()), ("team-00002.nii.gz", ())
    ]  # fmt: skip
    shutil.copy(folder / "team-00001.nii.gz", folder / "again_00001.nii.gz")
    (folder / "team-00002.nii.gz").rename(folder / "team-00003.nii.gz")
    assert [(one.path, one.problems[0]) for one in check_submission(folder, form, entries, form.allowed)] == [
        ("again_00001.nii.gz", "it is there 2 times, also as team-00001.nii.gz"),
        ("BraTS2021_00002.nii.gz", "it is missing"),
        ("team-00003.nii.gz", "no test case has this name; expected are names such as BraTS2021_00001.nii.gz"),
    ]  # fmt: skip
    for name in ("brats2020", "brats2015"):
        assert load_format(name).key("team-00001.nii.gz") != "00001"
    assert form.key("folder/team-00001.nii.gz") == "folder/team-00001.nii.gz"


def test_brats_shapes() -> None:
    assert load_format("brats2023", {"task": "MET"}).shape == (155, 240, 240)
    assert load_format("brats2024").shape == (182, 218, 182)
    assert load_format("brats2024", {"task": "SSA"}).shape == (155, 240, 240)
    assert load_format("brats2024", {"task": "MEN-RT"}).shape is None
    assert load_format("brats2025").shape is None


def test_brats_2023_wants_the_exact_qform(tmp_path: Path) -> None:
    # An image that was saved again with an sform alone: same place, another qform.
    path = tmp_path / "BraTS-GLI-00001-000_0000.nii.gz"
    image = nib.Nifti1Image(np.ones((6, 5, 4), np.int16), None)
    image.header.set_sform([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]], code=2)
    nib.save(image, path)
    asked = load_format("brats2023")
    (entry,) = asked.entries({"BraTS-GLI-00001-000": path})
    labels = np.full(CHALLENGE_GRID.shape, 3, np.uint8)
    mask = written(asked, entry, labels, tmp_path)
    assert asked.problems(mask, entry, asked.allowed) == (
        "its shape is (4, 5, 6), brats2023 takes (155, 240, 240) (z, y, x)",
    )
    form = replace(asked, shape=CHALLENGE_GRID.shape)
    assert form.problems(mask, entry, form.allowed) == ()
    write_label(mask, labels, CHALLENGE_GRID, like=path)
    (problem,) = form.problems(mask, entry, form.allowed)
    assert problem.startswith("its qform is not exactly that of the challenge")
    assert replace(form, exact_qform=False).problems(mask, entry, form.allowed) == ()
    # Elsewhere than the challenge's grid the image's header is copied, and then rejected.
    other = image_of(tmp_path, "BraTS-GLI-00002-000", replace(CHALLENGE_GRID, origin_mm=(0.0, 0.0, 0.0)))
    (entry,) = form.entries({"BraTS-GLI-00002-000": other})
    assert "its qform" in form.problems(written(form, entry, labels, tmp_path), entry, form.allowed)[0]


def test_what_would_be_rejected_is_not_left_behind(tmp_path: Path) -> None:
    write_example(tmp_path / "s", "BraTS-GLI-00001-000", values=(2, 1, 3))
    workspace = Workspace(tmp_path / "w")
    given = convert.Options("brats", tmp_path / "s", id=3, workers=1, options=(("edition", "2023"),))
    folder = convert.run(given, workspace)
    options = submit.Options(
        folder / "labelsTr",
        folder.name,
        output=tmp_path / "o" / "a.zip",
        format="brats2023",
        images=folder / "imagesTr",
    )
    with pytest.raises(SubmissionError, match=r"its shape is \(12, 12, 12\), brats2023 takes"):
        submit.run(options, workspace)
    assert list((tmp_path / "o").iterdir()) == []
    with pytest.raises(
        SubmissionError, match=r"brats2015 cannot hold these masks: the data set has the labels 0, 1, 2, 3,"
    ):
        submit.run(replace(options, format="brats2015"), workspace)


@pytest.fixture
def chaos(tmp_path: Path) -> Path:
    return load_converter("chaos").example(tmp_path / "s")


def chaos_dataset(source: Path, root: Path, scans: str) -> RawDataset:
    given = convert.Options("chaos", source, id=5, workers=1, options=(("scans", scans),))
    return RawDataset.open(convert.run(given, Workspace(root)))


def test_what_the_conversion_knows_need_not_be_said(chaos: Path, tmp_path: Path) -> None:
    dataset = chaos_dataset(chaos, tmp_path / "w", "t2")
    known = {"source": str(chaos.resolve()), "scans": "t2"}
    assert complete(dataset.folder, None, {}) == ("chaos", known)
    assert complete(dataset.folder, "chaos", {"scans": "ct"}) == ("chaos", {**known, "scans": "ct"})
    assert complete(dataset.folder, "kits19", {}) == ("kits19", {})
    assert complete(dataset.folder, "no_such", {}) == ("no_such", {})
    (tmp_path / "Dataset104_Liver").mkdir()
    assert complete(tmp_path / "Dataset004_Liver", None, {}) == ("msd", {"task": "Task04_Liver"})
    assert complete(tmp_path / "Dataset104_Liver", None, {}) == ("masks", {})  # no task of the Decathlon
    shutil.copy(dataset.folder / "conversion.json", tmp_path / "Dataset104_Liver")
    text = (tmp_path / "Dataset104_Liver" / "conversion.json").read_text()
    (tmp_path / "Dataset104_Liver" / "conversion.json").write_text(text.replace('"chaos"', '"gone"'))
    assert complete(tmp_path / "Dataset104_Liver", None, {})[0] == "masks"


def test_chaos_slices_follow_the_names_of_the_scan(chaos: Path, tmp_path: Path) -> None:
    dataset = chaos_dataset(chaos, tmp_path / "w", "t1")
    form = load_format("chaos", {"source": str(chaos), "scans": "t1"})
    cases = {case.case_id: case.images[0] for case in dataset.training}
    for entry in form.entries(cases):
        label = next(case.label for case in dataset.training if case.case_id == entry.case_id)
        labels = read_label(label)[0].astype(np.uint8)
        grey = np.array([form.values[value] for value in range(5)], np.uint8)[labels]
        path = written(form, entry, grey, tmp_path)
        number = int(entry.path[-7:-4])
        ground = (
            chaos / "Train_Sets" / "MR" / entry.case_id[3:] / "T1DUAL" / "Ground" / f"IMG-0004-{2 * number:05d}.png"
        )
        assert entry.path.startswith(f"Task5/MR/{entry.case_id[3:]}/T1DUAL/Results/img")
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(ground)))


def test_chaos_pictures_that_are_rejected(chaos: Path, tmp_path: Path) -> None:
    dataset = chaos_dataset(chaos, tmp_path / "w", "ct")
    form = load_format("chaos", {"source": chaos})
    entry = form.entries({"ct_3": find_images(dataset.folder / "imagesTs", 1)[0].images[0]})[0]
    Image.new("RGB", (16, 16)).save(tmp_path / "img.png")
    assert form.problems(tmp_path / "img.png", entry, form.allowed) == (
        "its pixels are of the mode RGB, wanted is 8-bit grey",
    )
    assert form.values == {0: 0, 1: 255}


def test_chaos_tasks(chaos: Path, tmp_path: Path) -> None:
    liver = load_format("chaos", {"source": chaos, "scans": "t2", "task": "3"})
    assert liver.values == {0: 0, 1: 63, 2: 0, 3: 0, 4: 0}
    with pytest.raises(SubmissionError, match="task 2 of CHAOS has no T1 scans: choose another task"):
        load_format("chaos", {"source": chaos, "scans": "t1", "task": "2"})
    assert liver.belongs("Task3/MR/1/T1DUAL/Results/img000.png")
    assert liver.belongs("Task5/MR/1/T2SPIR/Results/img000.png")
    for path in ("Task3/MR/1/T2SPIR/Results/img000.png", "Task3/MR/1/T1DUAL/img000.png", "notes.txt"):
        assert not liver.belongs(path)
    assert liver.notes(["Task3/MR/1/T2SPIR/Results/img000.png"]) == ("task 3 also wants T1, absent here",)
    assert liver.notes(["Task3/MR/1/T2SPIR/Results/img000.png", "Task3/MR/1/T1DUAL/Results/img000.png"]) == ()
    with pytest.raises(SubmissionError, match="ct_1 is no T2 scan: name it by --scans"):
        liver.entries({"ct_1": tmp_path})


def test_chaos_source_that_is_another(chaos: Path, tmp_path: Path) -> None:
    form = load_format("chaos", {"source": chaos})
    with pytest.raises(SubmissionError, match="has no CT/9/DICOM_anon: name the folder that holds Test_Sets"):
        form.entries({"ct_9": tmp_path})
    with pytest.raises(SubmissionError, match=r"ct_3 has 4 slices, its scan in .* 6: name the source"):
        form.entries({"ct_3": image_of(tmp_path, "ct_3")})
    for path in (chaos / "Test_Sets" / "CT" / "3" / "DICOM_anon").iterdir():
        path.unlink()
    with pytest.raises(SubmissionError, match="of ct_3 holds 0 series: unpack the archive again"):
        form.entries({"ct_3": image_of(tmp_path, "ct_3")})
    with pytest.raises(RegistryError, match="option 'source'"):
        load_format("chaos")


def test_two_scans_of_chaos_in_one_archive(chaos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    joined: tuple[Path, ...] = ()
    for scans in ("t1", "t2"):
        root = tmp_path / scans
        dataset = chaos_dataset(chaos, root, scans)
        caplog.clear()
        archive = submit.run(
            submit.Options(
                dataset.folder / "labelsTr", dataset.name, output=tmp_path / f"{scans}.zip", format="chaos",
                settings=(("task", "5"),), images=dataset.folder / "imagesTr", join=joined,
            ),
            Workspace(root),
        )  # fmt: skip
        assert ("task 5 also wants T2, absent here" in caplog.text) == (scans == "t1")
        joined = (archive,)
    with zipfile.ZipFile(joined[0]) as file:
        assert len(file.namelist()) == 2 * 2 * 6


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    dataset = RawDataset.open(
        convert.run(
            convert.Options("kits", load_converter("kits").example(tmp_path / "s"), id=4, workers=1),
            Workspace(tmp_path / "w"),
        )
    )
    options = submit.Options(
        dataset.folder / "labelsTr",
        dataset.name,
        output=tmp_path / "o",
        format="kits23",
        images=dataset.folder / "imagesTr",
    )
    assert sorted(path.name for path in submit.run(options, Workspace(tmp_path / "w")).iterdir()) == [
        "case_00000.nii.gz", "case_00400.nii.gz"
    ]  # fmt: skip
    with pytest.raises(SubmissionError, match="o exists already: remove it, or name another folder"):
        submit.run(options, Workspace(tmp_path / "w"))


def test_real_labels_of_2015_come_back(test_data: Path, tmp_path: Path) -> None:
    case = sorted(path.name for path in (test_data / "brats2015").iterdir() if path.is_dir())[0]
    shutil.copytree(test_data / "brats2015" / case, tmp_path / "s" / case)
    workspace = Workspace(tmp_path / "w")
    dataset = RawDataset.open(convert.run(convert.Options("brats", tmp_path / "s", id=2, workers=1), workspace))
    options = submit.Options(
        dataset.folder / "labelsTr",
        dataset.name,
        output=tmp_path / "answer.zip",
        format="brats2015",
        images=dataset.folder / "imagesTr",
    )
    with zipfile.ZipFile(submit.run(options, workspace)) as file:
        assert file.namelist() == [f"{case}.nii.gz"]
        file.extractall(tmp_path / "out")
    answer, source = tmp_path / "out" / f"{case}.nii.gz", tmp_path / "s" / case
    original = read_image(source / "OTMultiClass.nii.gz").array[0]
    assert len(np.unique(original)) >= 4
    assert np.array_equal(read_label(answer)[0], original)
    header, image = nifti.read_header(answer), nifti.read_header(source / "Flair_subtrMeanDivStd.nii.gz")
    assert header.get_data_dtype() == np.uint8
    for name in ("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y"):
        assert bytes(np.asarray(header[name])) == bytes(np.asarray(image[name]))
    for name in ("qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"):
        assert bytes(np.asarray(header[name])) == bytes(np.asarray(image[name]))
    submit.run(replace(options, input=tmp_path / "out", output=None, check=True), workspace)


class TestTars:
    """BraTS takes tars since 2021; the others do not."""

    @pytest.fixture
    def workspace(self, tmp_path: Path) -> Workspace:
        workspace = Workspace(tmp_path / "workspace")
        source = load_converter("brats").example(tmp_path / "source")
        convert.run(convert.Options("brats", source, id=5, workers=1), workspace)
        return workspace

    @pytest.fixture
    def options(self, workspace: Workspace, tmp_path: Path) -> submit.Options:
        raw = RawDataset.open(workspace.raw_dataset(workspace.resolve_dataset("5")))
        images, masks = raw.folder / "imagesTr", raw.folder / "labelsTr"
        return submit.Options(masks, raw.name, output=tmp_path / "a.tar.gz", format="brats2021", images=images)

    @pytest.mark.parametrize(("name", "mode"), [("a.tar", "r:"), ("a.tar.gz", "r:gz"), ("a.tgz", "r:gz")])
    def test_they_are_written_the_same_each_time_and_pass(
        self, options: submit.Options, workspace: Workspace, name: str, mode: str
    ) -> None:
        assert options.output is not None
        archive = submit.run(replace(options, output=options.output.with_name(name)), workspace)
        content = archive.read_bytes()
        with tarfile.open(archive, mode) as tar:
            names = tar.getnames()
        assert names == sorted(names)
        assert len(names) == 2
        submit.run(replace(options, input=archive, output=None, check=True), workspace)
        assert submit.run(replace(options, output=archive), workspace).read_bytes() == content

    def test_each_file_is_named(
        self, options: submit.Options, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        archive = submit.run(options, workspace)
        with tarfile.open(archive) as tar:
            tar.extractall(tmp_path / "files", filter="data")
        first, second = sorted((tmp_path / "files").iterdir())
        write_label(first, np.ones((3, 3, 3), np.uint8), Geometry((3, 3, 3), (1, 1, 1)))
        second.rename(second.with_name("notes.txt"))
        (tmp_path / "files" / "link.nii.gz").symlink_to(first)
        (tmp_path / "files" / second.name).symlink_to(first)
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(tmp_path / "files", ".")
        with pytest.raises(SubmissionError):
            submit.run(replace(options, input=archive, output=None, check=True), workspace)
        lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert [line.partition(":")[0] for line in lines] == [first.name, second.name, "link.nii.gz", "notes.txt"]
        for line, problem in zip(lines, ("its shape is", "is a link", "no test case", "no test case"), strict=True):
            assert problem in line

    def test_one_that_is_cut_off(self, options: submit.Options, workspace: Workspace) -> None:
        archive = submit.run(options, workspace)
        for size in (len(archive.read_bytes()) // 2, 20):
            archive.write_bytes(archive.read_bytes()[:size])
            with pytest.raises(SubmissionError, match=r"a\.tar\.gz (is damaged|is cut off|cannot be read)"):
                submit.run(replace(options, input=archive, output=None, check=True), workspace)

    def test_others_do_not_take_them(self, options: submit.Options, workspace: Workspace) -> None:
        with pytest.raises(SubmissionError, match=r"is a tar, brats2013 takes a zip: pack it so"):
            submit.run(replace(options, format="brats2013", settings=(("values", "2017"),)), workspace)
        assert options.output is not None
        assert not list(options.output.parent.glob("*.tar.gz*"))
