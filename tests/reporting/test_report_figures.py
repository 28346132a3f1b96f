"""The pictures beside a report."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.io.images import write_image, write_label
from autoseg.reporting import report_figures
from autoseg.specs.dataset import Dataset, Provenance
from autoseg.stages.evaluate import Options, run

NAME = "Dataset001_X"
GRID = Geometry((4, 10, 12), (3.0, 1.0, 1.0))


@pytest.fixture
def workspace(tmp_path):
    """A data set of two cases, the second of which annotates the liver alone, and predictions that miss a column."""
    made = Workspace(tmp_path / "workspace")
    raw = made.raw_dataset(NAME)
    for case in ("a", "b"):
        reference = np.zeros(GRID.shape, np.uint8)
        reference[1:3, 2:8, 2:10] = 1
        reference[1, 3:5, 3:5] = 2 if case == "a" else 1
        prediction = reference.copy()
        prediction[..., 9] = 0
        write_image(raw / "imagesTr" / f"{case}_0000.nii.gz", reference.astype(np.float32) * 50, GRID)
        write_label(raw / "labelsTr" / f"{case}.nii.gz", reference, GRID)
        write_label(tmp_path / "masks" / f"{case}.nii.gz", prediction, GRID)
    Dataset(
        channel_names={"0": "CT"},
        labels={"background": 0, "liver": 1, "tumour": 2},
        numTraining=2,
        file_ending=".nii.gz",
        provenance={"b": Provenance(annotated=("liver",))},
    ).save(raw / "dataset.json")
    return made


def options(workspace, tmp_path, **change):
    values = {"output": tmp_path / "out" / "report.json", "dataset": NAME, "workers": 1, "figures": True, **change}
    return Options(tmp_path / "masks", workspace.raw_dataset(NAME) / "labelsTr", **values)


def drawn(tmp_path):
    return {path.name for path in (tmp_path / "out").glob("*.png")}


def test_a_report_counts_what_is_taken_for_what(workspace, tmp_path):
    confusion = run(options(workspace, tmp_path), workspace).confusion
    assert confusion is not None
    assert confusion.labels == ("background", "liver", "tumour")
    # Case b says nothing of tumours: its background may hold some.
    assert confusion.voxels == ((480 - 96, 0, 0), (12, 80, 0), (0, 0, 4))
    assert drawn(tmp_path) == {"confusion.png", "samples.png"}


def test_the_scored_labels_are_drawn_and_the_title_says_whose_masks(workspace, tmp_path, monkeypatch):
    """A first stage knows the organ alone."""
    drawings = {}
    monkeypatch.setattr(report_figures, "draw_samples", lambda *_, **options: drawings.update(options))
    own = Dataset.load(workspace.raw_dataset(NAME) / "dataset.json").model_copy(
        update={"labels": {"background": 0, "organ": (1, 2)}, "regions_class_order": (1,), "provenance": {}}
    )
    own.save(tmp_path / "labels.json")
    run(options(workspace, tmp_path, labels=tmp_path / "labels.json", masks_of="3d_organ fold 0"), workspace)
    assert drawings["groups"] == {"organ": (1, 2)}
    assert drawings["title"] == f"{NAME} 3d_organ fold 0: 2 cases"


def test_another_report_has_figures_of_its_own(workspace, tmp_path):
    run(options(workspace, tmp_path, output=tmp_path / "out" / "second.json"), workspace)
    assert drawn(tmp_path) == {"second_confusion.png", "second_samples.png"}


def test_without_a_data_set_there_are_no_images(workspace, tmp_path):
    report = run(options(workspace, tmp_path, dataset=None), workspace)
    assert drawn(tmp_path) == {"confusion.png"}
    assert report.confusion is not None
    assert sum(map(sum, report.confusion.voxels)) == 2 * 480


def test_nothing_is_drawn_unless_asked_for(workspace, tmp_path):
    run(options(workspace, tmp_path, figures=False), workspace)
    assert drawn(tmp_path) == set()
    run(options(workspace, tmp_path, output=None), workspace)
    assert drawn(tmp_path) == set()


def test_an_image_that_cannot_be_read_costs_no_scores(workspace, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "autoseg")
    (workspace.raw_dataset(NAME) / "imagesTr" / "a_0000.nii.gz").write_bytes(b"no image")
    report = run(options(workspace, tmp_path), workspace)
    assert len(report.cases) == 2
    assert (tmp_path / "out" / "report.json").is_file()
    assert drawn(tmp_path) == {"confusion.png"}
    assert "no sample slices" in caplog.text


def test_an_image_of_another_size_is_named(workspace, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "autoseg")
    other = Geometry((4, 9, 12), (3.0, 1.0, 1.0))
    write_image(workspace.raw_dataset(NAME) / "imagesTr" / "a_0000.nii.gz", np.zeros(other.shape, np.float32), other)
    run(options(workspace, tmp_path), workspace)
    assert "a_0000.nii.gz has the shape (4, 9, 12), its masks (4, 10, 12) and (4, 10, 12)" in caplog.text
