"""BraTS: every year's names and labels, the traps of single cases, and the real cases of 2015."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.datasets.brats import EDITIONS
from autoseg.io.images import read_image, read_label, write_image, write_label
from autoseg.io.raw import RawDataset, read_case
from autoseg.metrics.protocols import load_protocol
from autoseg.stages import convert
from dataset_conversion.brats import write_example

BRATS = load_converter("brats")
NEW = ("{case}-t1n", "{case}-t1c", "{case}-t2w", "{case}-t2f")


def _convert(source: Path, root: Path, **options: str) -> RawDataset:
    given = convert.Options("brats", source, id=1, workers=1, options=tuple(options.items()))
    return RawDataset.open(convert.run(given, Workspace(root)))


@pytest.mark.parametrize(
    ("case", "files", "label", "values", "edition"),
    [
        ("brats_2013_pat0001_1", ("T1_x", "T1c_x", "T2_x", "Flair_x"), "OTMultiClass", (2, 1, 3, 4), "2015"),
        ("Brats17_2013_2_1", None, "{case}_seg", (2, 1, 4), "2017"),
        ("Brats18_CBICA_AAB_1", ("t1", "t1gd", "t2", "fla"), "seg", (2, 1, 4), "2017"),
        ("BraTS20_Training_355", None, "W39_1998.09.19_Segm", (2, 1, 4), "2017"),
        ("BraTS2021_00003", None, "{case}_seg", (2, 1, 4), "2017"),
        ("BraTS-GLI-00005-000", NEW, "{case}-seg", (2, 1, 3), "2023"),
        ("BraTS-GLI-00005-100", NEW, "{case}-seg", (2, 1, 3, 4), "2024"),
        ("BraTS-MEN-00004-000", NEW, "{case}-seg", (2, 1, 3), "2023"),
        ("BraTS-MET-00004-000", NEW, "{case}-seg", (2, 1, 3), "2023"),
        ("BraTS-SSA-00004-000", NEW, "{case}-seg", (2, 1, 3), "2023"),
        ("BraTS-PED-00004-000", NEW, "{case}-seg", (4, 2, 3, 1), "ped"),
        ("BraTS-MEN-RT-0004-1", ("{case}_t1c",), "{case}_gtv", (1,), "men_rt"),
    ],
)
def test_every_year(
    tmp_path: Path, case: str, files: tuple[str, ...] | None, label: str, values: tuple[int, ...], edition: str
) -> None:
    options = {} if files is None else {"files": files}
    folder = write_example(tmp_path / "s", case, label=label, values=values, **options)  # type: ignore[arg-type]
    assert BRATS.recognises(tmp_path / "s")
    dataset = _convert(tmp_path / "s", tmp_path / "w")
    assert dataset.name == f"Dataset001_BraTS{edition}"
    _, _, stored = read_case(dataset.training[0], channels=dataset.spec.channels())
    assert stored is not None
    original, _ = read_label(folder / f"{label.format(case=case)}.nii.gz")
    assert load_protocol(dataset.spec.scoring).regions(dataset.labels)
    known = EDITIONS[edition]
    back = np.vectorize(known.original.get)(stored)
    assert np.array_equal(back, original)
    if len(values) < 3:
        return
    assert dataset.spec.channels() == ("T1", "T1c", "T2", "FLAIR")
    # Regions lie in each other: each of the first two holds all higher tumour values.
    regions = dict(zip(dataset.labels.names, dataset.labels.values, strict=True))
    assert set(regions["enhancing_tumor"]) < set(regions["tumor_core"]) < set(regions["whole_tumor"])
    assert {known.original[value] for value in regions["whole_tumor"]} == set(values) - (
        {4} if edition == "2024" else set()
    )


@pytest.mark.parametrize(
    ("folder", "case", "edition", "scored_as", "submitted_as"),
    [
        (
            "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData",
            "BraTS-GLI-00005-001",
            "2023",
            "brats2023:gli",
            "brats2023",
        ),
        ("BraTS2024-BraTS-GLI-TrainingData", "BraTS-GLI-00005-001", "2024", "brats2024:gli", "brats2024"),
        (
            "ASNR-MICCAI-BraTS2023-PED-Challenge-TrainingData",
            "BraTS-PED-00005-000",
            "2023",
            "brats2023:ped",
            "brats2023",
        ),
        ("BraTS2024-PED-Challenge-TrainingData", "BraTS-PED-00005-000", "ped", "brats2024:ped", "brats2024"),
        ("BraTS2025-MET", "BraTS-MET-00005-000", "2024", "brats2025:met", "brats2025"),
    ],
)
def test_the_year_of_the_folder_decides(
    tmp_path: Path, folder: str, case: str, edition: str, scored_as: str, submitted_as: str
) -> None:
    write_example(tmp_path / folder, case, files=NEW, label="{case}-seg", values=(2, 1, 3))
    dataset = BRATS.dataset(tmp_path / folder)
    assert (dataset.name, dataset.scoring, dataset.submission) == (f"BraTS{edition}", scored_as, submitted_as)


@pytest.mark.parametrize(
    ("case", "scored_as", "submitted_as"),
    [
        ("Brats17_2013_2_1", "brats2020", "brats2017"),
        ("BraTS20_Training_001", "brats2020", "brats2020"),
        ("BraTS2021_00001", "brats2020:2021", "brats2021"),
    ],
)
def test_the_year_of_the_case_decides(tmp_path: Path, case: str, scored_as: str, submitted_as: str) -> None:
    write_example(tmp_path / "s", case, label="{case}_seg", values=(2, 1, 4))
    dataset = BRATS.dataset(tmp_path / "s")
    assert (dataset.scoring, dataset.submission) == (scored_as, submitted_as)


def test_the_grid_tells_post_treatment_scans(tmp_path: Path) -> None:
    folder = write_example(tmp_path / "s", "BraTS-GLI-00005-001", files=NEW, label="{case}-seg", values=(2, 1, 3))
    assert BRATS.dataset(tmp_path / "s").name == "BraTS2023"
    grid = Geometry((182, 218, 182), (1.0, 1.0, 1.0))
    write_image(folder / "BraTS-GLI-00005-001-t1n.nii.gz", np.zeros(grid.shape, np.uint8), grid)
    assert BRATS.dataset(tmp_path / "s").name == "BraTS2024"


def test_option_overrides_the_edition(tmp_path: Path) -> None:
    write_example(tmp_path / "s", "BraTS-MET-00005-000", files=NEW, label="{case}-seg", values=(2, 1, 3, 4))
    with pytest.raises(DatasetError, match="holds the label 4, known are 0, 1, 2, 3"):
        _convert(tmp_path / "s", tmp_path / "w")
    assert _convert(tmp_path / "s", tmp_path / "w2", edition="2024").labels.names[-1] == "resection_cavity"


def test_meta_images_of_2015(tmp_path: Path) -> None:
    case = "brats_tcia_pat105_0001"
    for grade in ("HGG", "LGG"):
        names = [f"VSD.Brain.XX.O.MR_{role}.35{index}" for index, role in enumerate(("T1", "T1c", "T2", "Flair"))]
        files = [f"{name}/{name}" for name in names]
        label = "VSD.Brain_3more.XX.O.OT.42/VSD.Brain_3more.XX.O.OT.42"
        write_example(tmp_path / "s" / grade, case, files=files, label=label, values=(2, 1, 3, 4), ending=".mha")
    dataset = _convert(tmp_path / "s", tmp_path / "w")
    assert [case.case_id for case in dataset.training] == [f"HGG_{case}", f"LGG_{case}"]
    assert {item.patient for item in dataset.spec.provenance.values()} == {
        "HGG_brats_tcia_pat105", "LGG_brats_tcia_pat105"
    }  # fmt: skip


def test_who_is_the_same_person_or_scan(tmp_path: Path) -> None:
    for case in ("BraTS2021_00005", "Brats18_CBICA_AAB_1", "BraTS20_Training_001", "BraTS20_Training_002"):
        write_example(tmp_path / "s", case)
    (tmp_path / "s" / "name_mapping.csv").write_text(
        "Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,BraTS_2019_subject_ID,BraTS_2020_subject_ID\n"
        "HGG,Brats17_CBICA_AAB_1,Brats18_CBICA_AAB_1,BraTS19_CBICA_AAB_1,BraTS20_Training_001\n"
        "LGG,NA,NA,NA,BraTS20_Training_002\n"
    )
    found = {case.case_id: case.provenance for case in BRATS.cases(tmp_path / "s")}
    assert found["BraTS2021_00005"].overlap_group == "brats-gli-00005-000"
    assert found["BraTS2021_00005"].patient == "BraTS-GLI-00005"
    assert found["BraTS20_Training_001"].overlap_group == "brats-CBICA_AAB_1"
    assert found["BraTS20_Training_001"].overlap_group == found["Brats18_CBICA_AAB_1"].overlap_group
    assert found["BraTS20_Training_001"].patient == found["Brats18_CBICA_AAB_1"].patient
    assert (found["BraTS20_Training_002"].overlap_group, found["BraTS20_Training_002"].patient) == (
        None, "BraTS20_Training_002"
    )  # fmt: skip
    write_example(tmp_path / "t", "BraTS-GLI-00005-000", files=NEW)
    newer = BRATS.cases(tmp_path / "t")[0].provenance
    assert (newer.overlap_group, newer.patient) == ("brats-gli-00005-000", "BraTS-GLI-00005")


def test_validation_cases_have_no_label(tmp_path: Path) -> None:
    write_example(tmp_path / "s" / "Training", "BraTS20_Training_001", ending=".nii")
    write_example(tmp_path / "s" / "Validation", "BraTS20_Validation_001", label=None, ending=".nii")
    dataset = _convert(tmp_path / "s", tmp_path / "w")
    assert [case.case_id for case in dataset.test] == ["BraTS20_Validation_001"]
    source = read_image(tmp_path / "s" / "Training" / "BraTS20_Training_001" / "BraTS20_Training_001_t1.nii")
    written = read_image(dataset.training[0].images[0])
    assert np.array_equal(source.array, written.array)
    assert source.geometry == written.geometry


def test_a_sequence_that_no_case_has_is_dropped_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for case in ("BraTS2021_00001", "BraTS2021_00002"):
        write_example(tmp_path / "s", case, files=("{case}_t1ce", "{case}_flair"))
    with caplog.at_level(logging.WARNING):
        dataset = _convert(tmp_path / "s", tmp_path / "w")
    assert dataset.spec.channels() == ("T1c", "FLAIR")
    assert [record.getMessage() for record in caplog.records if "no case has" in record.getMessage()] == [
        "no case has T1: the channel is left out",
        "no case has T2: the channel is left out",
    ]
    assert "absent everywhere: T1, T2" in dataset.spec.description
    (tmp_path / "s" / "BraTS2021_00002" / "BraTS2021_00002_flair.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"BraTS2021_00002 has no FLAIR, which 1 other case\(s\) have"):
        BRATS.cases(tmp_path / "s")


def test_wrong_layouts(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no labelled cases in"):
        BRATS.cases(tmp_path)
    folder = write_example(tmp_path / "s", "BraTS2021_00001")
    (folder / "x_t1gd.nii.gz").touch()
    with pytest.raises(DatasetError, match="both are the t1c of one case"):
        BRATS.cases(tmp_path / "s")
    (folder / "x_t1gd.nii.gz").rename(folder / "x_t1_t2.nii.gz")
    with pytest.raises(DatasetError, match="could be t1 or t2"):
        BRATS.cases(tmp_path / "s")
    (folder / "x_t1_t2.nii.gz").unlink()
    write_example(tmp_path / "s", "BraTS-PED-00001-000", files=NEW)
    with pytest.raises(DatasetError, match="mixes the labels of 2017 and ped: convert each"):
        BRATS.dataset(tmp_path / "s")
    (folder / "BraTS2021_00001_seg.nii.gz").unlink()
    with pytest.raises(DatasetError, match="BraTS2021_00001 has no segmentation"):
        BRATS.cases(tmp_path / "s")


def test_files_of_other_shape(tmp_path: Path) -> None:
    folder = write_example(tmp_path / "s", "BraTS2021_00001")
    write_label(folder / "BraTS2021_00001_seg.nii.gz", np.zeros((3, 4, 5), np.uint8), Geometry((3, 4, 5), (1, 1, 1)))
    with pytest.raises(DatasetError, match=r"_seg.nii.gz has the shape \(3, 4, 5\), its image \(12, 12, 12\)"):
        _convert(tmp_path / "s", tmp_path / "w")
    folder = write_example(tmp_path / "m", "brats_2013_pat0001_1", label="OT", values=(2, 1, 3))
    write_label(folder / "brainmask.nii.gz", np.zeros((3, 4, 5), np.uint8), Geometry((3, 4, 5), (1, 1, 1)))
    with pytest.raises(DatasetError, match=r"brainmask.nii.gz has the shape \(3, 4, 5\), its image"):
        _convert(tmp_path / "m", tmp_path / "w2")


def test_real_cases_of_2015(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "brats2015"
    dataset = _convert(source, tmp_path)
    assert len(dataset.training) == 4
    assert dataset.spec.channels() == ("T1c", "FLAIR")
    assert dict(zip(dataset.labels.names, dataset.labels.values, strict=True)) == {
        "whole_tumor": (1, 2, 3, 4), "tumor_core": (2, 3, 4), "enhancing_tumor": (4,)
    }  # fmt: skip
    case = dataset.training[0]
    image, geometry, labels = read_case(case, channels=2)
    original = read_image(source / case.case_id / "OTMultiClass.nii.gz")
    assert labels is not None
    assert np.array_equal(np.array([0, 2, 1, 3, 4])[labels], original.array[0].astype(int))
    assert geometry == read_image(source / case.case_id / "Flair_subtrMeanDivStd.nii.gz").geometry
    # The shipped images are -3.16 and -2.75 outside the brain; normalisers and cropping need zero there.
    brain = read_image(source / case.case_id / "brainmask.nii.gz").array[0] > 0.5
    assert (image[:, ~brain] == 0).all()
    shipped = read_image(source / case.case_id / "Flair_subtrMeanDivStd.nii.gz").array[0]
    assert np.array_equal(image[1][brain], shipped[brain])


@pytest.mark.parametrize("edition", EDITIONS)
def test_tissues_are_exclusive_and_merge_into_the_same_regions(edition: str) -> None:
    names, values = EDITIONS[edition].tissues()
    assert sorted(set(values.values())) == [0, *names.values()] == list(range(len(names) + 1))
    for name, tissues in {"whole_tumor": 3, "tumor_core": 2, "enhancing_tumor": 1}.items():
        if name in EDITIONS[edition].regions:
            inside = {values[stored] for stored in EDITIONS[edition].regions[name]}
            assert inside == {names[tissue] for tissue in ("edema", "non_enhancing", "enhancing")[-tissues:]}


@pytest.mark.parametrize(
    ("case", "values", "merged"),
    [
        ("brats_2013_pat0001_1", (2, 1, 3, 4), {0: 0, 2: 1, 1: 2, 3: 2, 4: 3}),
        ("BraTS-PED-00004-000", (4, 2, 3, 1), {0: 0, 4: 1, 2: 2, 3: 2, 1: 3}),
    ],
)
def test_necrosis_joins_the_non_enhancing_tumour(
    tmp_path: Path, case: str, values: tuple[int, ...], merged: dict[int, int]
) -> None:
    folder = write_example(tmp_path / "s", case, label="{case}_seg", values=values, files=("t1", "t1c", "t2", "flair"))
    dataset = _convert(tmp_path / "s", tmp_path / "w", labels="tissues")
    assert "one exclusive label each" in dataset.spec.description
    assert "nested" not in dataset.spec.description
    assert dataset.spec.labels == {"background": 0, "edema": 1, "non_enhancing": 2, "enhancing": 3}
    assert dataset.spec.regions_class_order is None
    _, _, stored = read_case(dataset.training[0], channels=dataset.spec.channels())
    original, _ = read_label(folder / f"{case}_seg.nii.gz")
    assert stored is not None
    assert all(set(np.unique(stored[original == value])) == {merged[value]} for value in values)
    assert load_protocol(dataset.spec.scoring).regions(dataset.labels)
