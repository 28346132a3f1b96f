"""merge: names brought together, values numbered anew, copies of a scan dropped, what is not annotated ignored."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.core.errors import DatasetError, RegistryError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.datasets.brats import EDITIONS
from autoseg.io.images import read_image, read_label, write_image, write_label
from autoseg.io.raw import RawDataset, check_labels
from autoseg.specs.dataset import Dataset, Provenance
from autoseg.stages import convert
from dataset_conversion._merge_labels import common_names, join_labels

MERGE = load_converter("merge")
GRID = Geometry((2, 3, 4), (2.0, 1.0, 1.0))
Labels = dict[str, int | tuple[int, ...]]
LIVER: Labels = {"background": 0, "liver": 1, "tumor": 2}


def add(
    root: Path,
    name: str,
    labels: Labels,
    cases: Mapping[str, str | None],
    *,
    channels: Sequence[str] = ("CT",),
    tests: Mapping[str, str | None] | None = None,
    order: tuple[int, ...] | None = None,
) -> None:
    """A raw data set whose label files hold every value from 0 on; case id -> overlap group."""
    folder = root / "raw" / name
    values = {number for value in labels.values() for number in ((value,) if isinstance(value, int) else value)}
    for side, split in (("Tr", cases), ("Ts", tests or {})):
        for case in split:
            for index, channel in enumerate(channels):
                image = np.full(GRID.shape, sum(map(ord, channel)), np.int16)
                write_image(folder / f"images{side}" / f"{case}_{index:04d}.nii.gz", image, GRID)
            stored = np.resize(np.array(sorted(values), np.uint8), GRID.shape)
            write_label(folder / f"labels{side}" / f"{case}.nii.gz", stored, GRID)
    Dataset(
        channel_names={str(index): channel for index, channel in enumerate(channels)},
        labels=labels,
        regions_class_order=order,
        numTraining=len(cases),
        file_ending=".nii.gz",
        licence=f"licence of {name}",
        provenance={
            case: Provenance(source=f"{name} {case}", overlap_group=group)
            for case, group in {**cases, **(tests or {})}.items()
            if group
        },
    ).save(folder / "dataset.json")


def merged(root: Path, **options: str) -> RawDataset:
    given = convert.Options("merge", root, id=99, workers=1, options=tuple(options.items()))
    return RawDataset.open(convert.run(given, Workspace(root)))


def test_copies_are_dropped_and_labels_renumbered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        dataset = merged(MERGE.example(tmp_path), datasets="2,1")
    assert dataset.name == "Dataset099_Joined"
    assert dataset.spec.labels == {"background": 0, "tumor": 1, "liver": 2}
    assert (dataset.spec.licence, dataset.spec.scoring) == ("CC0", "lits")
    assert [case.case_id for case in dataset.training] == ["first", "second"]
    assert "one of Dataset001_First is left out: it is first of Dataset002_Second (scan-1)" in caplog.text
    assert dataset.spec.provenance["second"].source == "Dataset002_Second second"


def test_the_first_data_set_named_keeps_its_copy(tmp_path: Path) -> None:
    dataset = merged(MERGE.example(tmp_path), datasets="First,Second", labels="Tumor, LIVER")
    assert dataset.spec.labels == {"background": 0, "tumor": 1, "liver": 2}
    assert [case.case_id for case in dataset.training] == ["one", "second"]
    assert dataset.spec.scoring == ""  # other labels may be another task
    for case in dataset.training:
        assert case.label is not None
        labels, _ = read_label(case.label)
        assert [int((labels == value).sum()) for value in (1, 2)] == [2, 22]
    # Nothing but labels is stored twice.
    assert (
        dataset.training[0].images[0].samefile(tmp_path / "raw" / "Dataset001_First" / "imagesTr" / "one_0000.nii.gz")
    )


def test_names_that_clash_are_told_apart_and_origins_kept(tmp_path: Path) -> None:
    add(tmp_path, "Dataset001_A", LIVER, {"case_1": None, "own": "g"})
    add(tmp_path, "Dataset002_B", LIVER, {"case_1": None})
    dataset = merged(tmp_path, datasets="1,2")
    assert [case.case_id for case in dataset.training] == ["A_case_1", "B_case_1", "own"]
    assert dataset.spec.provenance["B_case_1"].source == "Dataset002_B case_1"
    assert dataset.spec.provenance["own"].overlap_group == "g"
    assert dataset.spec.licence == "licence of Dataset001_A; licence of Dataset002_B"


def test_a_scan_that_tests_anywhere_does_not_train(tmp_path: Path) -> None:
    add(tmp_path, "Dataset001_A", LIVER, {"a": "same", "b": None})
    add(tmp_path, "Dataset002_B", LIVER, {"c": None}, tests={"t": "same"})
    dataset = merged(tmp_path, datasets="1,2")
    assert [case.case_id for case in dataset.training] == ["b", "c"]
    assert [(case.case_id, case.label is not None) for case in dataset.test] == [("t", True)]


def test_given_names_and_dropped_labels(tmp_path: Path) -> None:
    add(tmp_path, "Dataset001_A", {"background": 0, "spleen": 1, "liver": 2, "livertumor": 3}, {"a": None})
    add(tmp_path, "Dataset002_B", {"background": 0, "hepar": 1}, {"b": None})
    dataset = merged(tmp_path, datasets="1,2", map="hepar:liver,tumour:Liver", labels="liver")
    assert dataset.spec.labels == {"background": 0, "liver": 1}
    stored = {case.case_id: read_label(case.label)[0] for case in dataset.training if case.label}
    assert stored["a"].ravel()[:4].tolist() == [0, 0, 1, 1]
    assert stored["b"].ravel()[:4].tolist() == [0, 1, 0, 1]


def test_one_name_of_two_things(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add(tmp_path, "Dataset001_LiTS", LIVER, {"a": None})
    add(tmp_path, "Dataset002_KiTS", {"background": 0, "kidney": 1, "tumor": 2}, {"b": None})
    everywhere = "liver:background,liver_tumor:background,kidney:liver,tumor:liver"
    with caplog.at_level(logging.INFO):
        dataset = merged(tmp_path, datasets="1,2", map="LiTS/tumor:liver_tumor", hidden=everywhere)
    assert dataset.spec.labels == {"background": 0, "liver": 1, "liver_tumor": 2, "kidney": 3, "tumor": 4, "ignore": 5}
    assert "Dataset001_LiTS: 'tumor' becomes 'liver_tumor'" in caplog.text
    two = LabelSpace.parse({"background": 0, "liver_tumor": 1, "kidney_tumor": 2})
    with pytest.raises(DatasetError, match=r"x: 'liver_tumor' and 'kidney_tumor' are both names of 'tumor': name one"):
        common_names({"x": two}, renamed={}, wanted=())
    _, names = common_names({"x": two}, renamed={"kidney_tumor": "kidney_tumor"}, wanted=())
    assert names == ("tumor", "kidney_tumor")


def test_what_is_not_annotated_is_ignored(tmp_path: Path) -> None:
    add(tmp_path, "Dataset001_A", LIVER, {"a": None})
    add(tmp_path, "Dataset002_B", {"background": 0, "liver": 1}, {"b": None})
    add(tmp_path, "Dataset003_C", {"background": 0, "spleen": 1, "ignore": 2}, {"c": None})
    expected = (
        r"B does not label tumor: say where its voxels are, e\.g\. --hidden tumor:background, or .*--labels liver\)"
    )
    with pytest.raises(DatasetError, match=expected):
        merged(tmp_path, datasets="1,2")
    dataset = merged(tmp_path, datasets="1,2,3", hidden="tumor:liver,spleen:background,liver:background")
    assert dataset.spec.labels == {"background": 0, "liver": 1, "tumor": 2, "spleen": 3, "ignore": 4}
    stored = {case.case_id: read_label(case.label)[0].ravel()[:3].tolist() for case in dataset.training if case.label}
    # Tumours of b are in its liver, which is ignored; those of c may be anywhere, as its liver is not outlined.
    assert stored == {"a": [0, 1, 2], "b": [0, 4, 0], "c": [0, 3, 4]}
    annotated = {case.case_id: case.annotated for case in dataset.training}
    assert annotated == {"a": ("liver", "tumor"), "b": ("liver", "tumor"), "c": ("spleen",)}
    for case in dataset.training:
        assert case.label is not None
        check_labels(read_label(case.label)[0], dataset.labels, case)


def test_marks_of_the_joined_data_sets_are_kept(tmp_path: Path) -> None:
    add(tmp_path, "Dataset001_A", LIVER, {"a": None})
    add(tmp_path, "Dataset002_B", {"background": 0, "liver": 1}, {"b": None})
    merged(tmp_path, datasets="1,2", hidden="tumor:background")
    add(tmp_path, "Dataset003_C", {"background": 0, "spleen": 1}, {"c": None})
    options = convert.Options(
        "merge", tmp_path, id=8, dataset_name="All", workers=1,
        options=(("datasets", "99,3"), ("hidden", "spleen:background,liver:background,tumor:background")),
    )  # fmt: skip
    dataset = RawDataset.open(convert.run(options, Workspace(tmp_path)))
    annotated = {case.case_id: case.annotated for case in dataset.training}
    assert annotated == {"a": ("liver", "tumor"), "b": ("liver",), "c": ("spleen",)}


def test_cases_without_a_kept_label_are_left_out(tmp_path: Path) -> None:
    add(tmp_path, "Dataset001_A", LIVER, {"a": None})
    add(tmp_path, "Dataset002_B", {"background": 0, "spleen": 1}, {"b": None})
    hidden = "liver:background,tumor:background"
    dataset = merged(tmp_path, datasets="1,2", labels="liver,tumor", hidden=hidden)
    assert [case.case_id for case in dataset.training] == ["a"]


def space(edition: str) -> LabelSpace:
    found = EDITIONS[edition]
    labels = {name: values if len(values) > 1 else values[0] for name, values in found.regions.items()}
    return LabelSpace.parse({"background": 0, **labels}, found.class_order)


def test_four_tissues_of_2015_become_the_three_of_later_years() -> None:
    """Necrosis and non-enhancing tumour lie in the same regions, so that no score tells them apart."""
    found, names = common_names({"old": space("2015"), "new": space("2017")}, renamed={}, wanted=())
    joined = join_labels(found, names, hidden={})
    assert joined.labels == {"background": 0, "whole_tumor": (1, 2, 3), "tumor_core": (2, 3), "enhancing_tumor": 3}
    assert joined.class_order == (1, 2, 3)
    assert joined.values == ({0: 0, 1: 1, 2: 2, 3: 2, 4: 3}, {0: 0, 1: 1, 2: 2, 3: 3})


def test_regions_beside_the_others_keep_a_value_of_their_own() -> None:
    found, names = common_names({"new": space("2024")}, renamed={}, wanted=())
    joined = join_labels(found, names, hidden={})
    assert LabelSpace.parse(joined.labels, joined.class_order).is_regions
    table = joined.values[0]
    for name, values in zip(space("2024").names, space("2024").values, strict=True):
        group = joined.labels[name]
        assert {table[value] for value in values} == set((group,) if isinstance(group, int) else group)
    written = dict(zip([name for name in joined.labels if name != "background"], joined.class_order or (), strict=True))
    assert written["resection_cavity"] == table[4]


def test_regions_that_one_lacks(tmp_path: Path) -> None:
    spaces = {"old": space("2017"), "new": space("2024")}
    found, names = common_names(spaces, renamed={}, wanted=())
    joined = join_labels(found, names, hidden={})
    assert joined.annotated(0, None) == ("whole_tumor", "tumor_core", "enhancing_tumor")
    assert joined.annotated(1, None) is None
    assert joined.annotated(1, ("whole_tumor", "resection_cavity")) == ("whole_tumor", "resection_cavity")
    found, names = common_names(spaces, renamed={}, wanted=("whole_tumor", "tumor_core", "enhancing_tumor"))
    assert join_labels(found, names, hidden={}).values[1][4] == 0
    found, names = common_names({"a": space("2017"), "b": LabelSpace.parse(LIVER)}, renamed={}, wanted=())
    with pytest.raises(DatasetError, match="a has regions, b has classes: convert both alike"):
        join_labels(found, names, hidden={})


def test_channels_go_by_name(tmp_path: Path) -> None:
    add(tmp_path, "Dataset001_A", LIVER, {"a": None}, channels=("T1", "FLAIR"))
    add(tmp_path, "Dataset002_B", LIVER, {"b": None}, channels=("flair", "T1", "T2"))
    with pytest.raises(DatasetError, match=r"B has the channels flair, T1, T2, not just .*--channels T1,FLAIR"):
        merged(tmp_path, datasets="1,2")
    dataset = merged(tmp_path, datasets="1,2", channels="FLAIR,T1")
    assert dataset.spec.channels() == ("FLAIR", "T1")
    for case, first in zip(dataset.training, ("FLAIR", "flair"), strict=True):
        found = [int(read_image(path).array.max()) for path in case.images]
        assert found == [sum(map(ord, first)), sum(map(ord, "T1"))]


def test_images_of_several_channels(tmp_path: Path) -> None:
    add(tmp_path, "Dataset001_A", LIVER, {"a": None})
    add(tmp_path, "Dataset002_B", LIVER, {"b": None}, channels=("CT", "PET"))
    images = tmp_path / "raw" / "Dataset002_B" / "imagesTr"
    for path in tuple(images.iterdir()):
        path.unlink()
    write_image(images / "b.nii.gz", np.zeros((2, *GRID.shape), np.float32), GRID)
    with pytest.raises(DatasetError, match=r"b\.nii\.gz holds several channels: store one file per channel"):
        MERGE.with_options({"datasets": "2,1", "channels": "CT"}).cases(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "0 different data sets are named: name two or more of Dataset001_First, Dataset002_Second"),
        ({"datasets": "1,First"}, "1 different data sets are named"),
        ({"datasets": "1,2", "map": "lver:liver"}, "map: no data set has a label 'lver': did you mean 'liver'"),
        ({"datasets": "1,2", "labels": "spleen"}, "labels: no data set has 'spleen'"),
        ({"datasets": "1,2", "hidden": "spleen:background"}, "hidden: no label 'spleen' is joined"),
        ({"datasets": "1,2", "hidden": "tumor:spleen"}, "hidden: no label 'spleen' is joined"),
    ],
)
def test_what_cannot_be_joined(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    source = MERGE.example(tmp_path)
    with pytest.raises(DatasetError, match=message):
        MERGE.with_options(options).dataset(source)


def test_a_map_of_another_form() -> None:
    with pytest.raises(RegistryError, match="'a' is not NAME:NAME"):
        MERGE.with_options({"map": "a"})


def test_channels_that_no_two_have(tmp_path: Path) -> None:
    add(tmp_path, "Dataset001_A", LIVER, {"a": None})
    add(tmp_path, "Dataset002_B", LIVER, {"b": None}, channels=("MR",))
    with pytest.raises(DatasetError, match="B has the channels MR, not just CT: join others"):
        merged(tmp_path, datasets="1,2")
