"""convert: resumable, refuses to mix, names the broken case."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from autoseg.core.errors import DatasetError, RegistryError
from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.datasets import load_converter
from autoseg.datasets.conversion import Conversion
from autoseg.io.images import write_image, write_label
from autoseg.specs.dataset import Dataset
from autoseg.stages import convert

SMALL = (("cases", 2), ("test_cases", 1), ("size", "8x16x16"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return load_converter("msd").example(tmp_path / "source")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def run(workspace: Workspace, source: Path | None, name: str = "msd", **more: object) -> Path:
    return convert.run(convert.Options(name, source, workers=1, **more), workspace)  # type: ignore[arg-type]


def test_numbers_and_names(workspace: Workspace, source: Path) -> None:
    assert run(workspace, source).name == "Dataset001_Example"
    assert run(workspace, source).name == "Dataset001_Example"
    assert run(workspace, None, "phantom", options=SMALL).name == "Dataset002_PhantomLiver"
    assert run(workspace, source, dataset_name="Other", id=12).name == "Dataset012_Other"


def test_the_data_set_names_its_protocol(workspace: Workspace, source: Path) -> None:
    assert Dataset.load(run(workspace, source) / "dataset.json").scoring == "msd"
    task = source.rename(source.with_name("Task03_Liver"))
    assert Dataset.load(run(workspace, task) / "dataset.json").scoring == "msd:liver"


def test_record_says_where_it_came_from(workspace: Workspace, source: Path) -> None:
    folder = run(workspace, source)
    record = Conversion.load(folder / "conversion.json")
    assert (record.converter, record.source) == ("msd", str(source.resolve()))
    assert record.autoseg


def test_the_folder_decides(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    assert run(workspace, source, "auto").name == "Dataset001_Example"
    named_alone = convert.Options(str(source), workers=1)
    assert convert.run(named_alone, workspace).name == "Dataset001_Example"
    with pytest.raises(DatasetError, match=r"no converter recognises it: name one of .*msd"):
        run(workspace, tmp_path, "auto")
    with pytest.raises(DatasetError, match="no source folder to recognise: give one"):
        run(workspace, None, "auto")


def test_missing_sources(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the converter 'msd' has no source: give a task folder"):
        run(workspace, None)
    with pytest.raises(DatasetError, match="does not exist: give a task folder"):
        run(workspace, tmp_path / "gone")
    with pytest.raises(RegistryError, match="unknown converter"):
        run(workspace, tmp_path, "msdd")


def test_dry_run_writes_nothing(workspace: Workspace, source: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run(workspace, source, dry_run=True)
    assert "3 cases, 3 to convert" in caplog.text
    assert "channels: FLAIR, T1w; labels: background, organ, lesion" in caplog.text
    assert "example_001 (train): example_001.nii.gz, example_001.nii.gz" in caplog.text
    assert not workspace.root.exists()


def test_interrupted_conversion_is_taken_up(
    workspace: Workspace, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = run(workspace, source)
    (folder / "dataset.json").unlink()
    (folder / "imagesTr" / "example_002_0001.nii.gz").unlink()
    with caplog.at_level(logging.INFO):
        run(workspace, source)
    assert "3 cases, 1 to convert" in caplog.text
    assert (folder / "dataset.json").is_file()


def test_a_changed_source_is_converted_again(
    workspace: Workspace, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(workspace, source)
    geometry = Geometry((6, 8, 7), (1.5, 1.0, 1.0), (3.0, 2.0, 1.0))
    write_label(source / "labelsTr" / "example_001.nii.gz", np.ones((6, 8, 7), np.uint8), geometry)
    with caplog.at_level(logging.INFO):
        run(workspace, source)
    assert "3 cases, 1 to convert" in caplog.text


def test_broken_case_is_named_and_the_rest_done(workspace: Workspace, source: Path) -> None:
    geometry = Geometry((6, 8, 7), (1.5, 1.0, 1.0), (3.0, 2.0, 1.0))
    write_label(source / "labelsTr" / "example_001.nii.gz", np.full((6, 8, 7), 9, np.uint8), geometry)
    (source / "imagesTr" / "example_002.nii.gz").write_bytes(b"cut short")
    with pytest.raises(DatasetError, match=r"case example_001: label .* holds 9.*and 1 more: example_002") as caught:
        run(workspace, source)
    assert caught.value.case_id == "example_001"
    folder = workspace.raw / "Dataset001_Example"
    assert not (folder / "dataset.json").exists()
    assert [path.name for path in sorted((folder / "imagesTs").iterdir())] == [
        f"example_003_{channel:04d}.nii.gz" for channel in range(2)
    ]
    assert not list((folder / "imagesTr").glob("example_001*"))  # or a rerun would take it for done


def test_warnings_are_recorded(workspace: Workspace, source: Path, caplog: pytest.LogCaptureFixture) -> None:
    geometry = Geometry((6, 8, 7), (1.5, 1.0, 1.0), (3.0, 2.0, 1.0))
    write_label(source / "labelsTr" / "example_001.nii.gz", np.zeros((6, 8, 7), np.uint8), geometry)
    folder = run(workspace, source)
    assert "has no foreground" in caplog.text
    for _ in range(2):  # also after a rerun that converts nothing
        warnings = Conversion.load(folder / "conversion.json").warnings
        assert warnings["example_001"] == ("label example_001.nii.gz has no foreground",)
        run(workspace, source)


def test_folders_are_not_mixed(workspace: Workspace, source: Path) -> None:
    folder = run(workspace, source)
    with pytest.raises(DatasetError, match="already has the number 1: choose another --id"):
        run(workspace, source, dataset_name="Other", id=1)
    with pytest.raises(DatasetError, match="converted from another source or with other options: remove it first"):
        run(workspace, None, "phantom", options=SMALL, dataset_name="Example", id=1)
    (folder / "conversion.json").unlink()
    with pytest.raises(DatasetError, match="was not made by convert: choose another"):
        run(workspace, source)


@pytest.mark.parametrize(
    ("more", "message"),
    [({"id": 1000}, "is not from 1 to 999"), ({"dataset_name": "a/b"}, "is no name for a data set")],
)
def test_unusable_names(workspace: Workspace, source: Path, more: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        run(workspace, source, **more)


def test_unusable_case_names(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoseg.datasets import SourceCase

    phantom = type(load_converter("phantom"))
    for cases, message in (
        ((), "no cases found"),
        ((SourceCase("a", ()), SourceCase("a", ())), "2 cases are called 'a': rename all but one"),
        ((SourceCase("a b", ()),), "'a b' is no file name"),
    ):
        monkeypatch.setattr(phantom, "cases", lambda self, source, cases=cases: cases)
        with pytest.raises(DatasetError, match=message):
            run(workspace, None, "phantom", options=SMALL)


def test_several_workers(workspace: Workspace, source: Path) -> None:
    folder = convert.run(convert.Options("msd", source, workers=2), workspace)
    assert len(json.loads((folder / "dataset.json").read_text())["provenance"]) == 3


def test_channel_count_of_a_source_image(workspace: Workspace, source: Path) -> None:
    write_image(source / "imagesTr" / "example_001.nii.gz", np.ones((3, 6, 8, 7)), Geometry((6, 8, 7), (1, 1, 1)))
    with pytest.raises(DatasetError, match=r"example_001\.nii\.gz has 3 channels, dataset\.json names 2"):
        run(workspace, source)
