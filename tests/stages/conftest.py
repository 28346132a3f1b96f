"""Trainings that never happened: runs with held-out masks and scores, enough for what follows training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from small import small_configuration

from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.io.images import write_label
from autoseg.specs.dataset import Dataset
from autoseg.specs.method import Method
from autoseg.specs.run import Run, Schedule
from autoseg.stages import ensemble, evaluate

SHAPE = (8, 10, 12)
GRID = Geometry(SHAPE, (2.0, 1.0, 1.0), (3.0, -4.0, 5.0))
LABELS: dict[str, int | tuple[int, ...]] = {"background": 0, "first": 1, "second": 2}


class Fabricated:
    """A workspace with one data set of four cases and two folds.

    Args:
        root: Folder of the workspace.
    """

    DATASET = "Dataset901_Fake"
    FOLDS = {"0": ("a", "b"), "1": ("c", "d")}  # noqa: RUF012 - a test's constant
    GRID = GRID

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.raw = self.workspace.raw_dataset(self.DATASET)
        cases = [case for fold in self.FOLDS.values() for case in fold]
        self.references = {case: self.reference(index) for index, case in enumerate(cases)}
        for case, labels in self.references.items():
            write_label(self.raw / "labelsTr" / f"{case}.nii.gz", labels, GRID)
            write_label(self.raw / "imagesTr" / f"{case}_0000.nii.gz", labels, GRID)
        Dataset(channel_names={"0": "MR"}, labels=LABELS, numTraining=4, file_ending=".nii.gz", licence="CC0").save(
            self.raw / "dataset.json"
        )

    @staticmethod
    def reference(index: int) -> npt.NDArray[np.uint8]:
        labels = np.zeros(SHAPE, np.uint8)
        labels[2:5, 2:5, 2 + index : 6 + index] = 1
        labels[2:5, 5:7, 2 + index : 6 + index] = 2
        return labels

    def noisy(self, case: str, *, shift: int = 1) -> npt.NDArray[np.uint8]:
        """A reference moved by `shift` voxels, with a false component of label 1 in the corner."""
        labels = np.roll(self.references[case], shift, axis=1)
        labels[7, 8:10, 0:2] = 1
        return labels

    def run(self, configuration: str, fold: str, *, shift: int = 1, train_cases: tuple[str, ...] = ("x",)) -> Path:
        """One finished and scored training."""
        folder = self.workspace.run(self.DATASET, "autoseg", configuration, fold)
        cases = self.FOLDS[fold]
        for case in cases:
            write_label(folder / "validation" / f"{case}.nii.gz", self.noisy(case, shift=shift), GRID)
        run_document(self.DATASET, configuration, fold, train_cases, cases).save(folder / "run.json")
        (folder / ensemble.WEIGHTS).write_bytes(f"{configuration} {fold}".encode())
        options = evaluate.Options(
            folder / "validation",
            self.raw / "labelsTr",
            folder / "validation" / "report.json",
            dataset=self.DATASET,
            cases=cases,
            surface=False,
            workers=1,
        )
        evaluate.run(options, self.workspace)
        return folder

    def model(self, *configurations: str) -> Path:
        """Runs of both folds, packed."""
        for configuration in configurations:
            for fold in self.FOLDS:
                self.run(configuration, fold)
        return ensemble.run(ensemble.Options(self.DATASET), self.workspace)


def run_document(
    dataset: str, configuration: str, fold: str, train_cases: tuple[str, ...], val_cases: tuple[str, ...]
) -> Run:
    return Run(
        dataset=dataset,
        fold=fold,
        seed=0,
        device="cpu",
        precision="float32",
        plan="0" * 12,
        configuration=small_configuration(
            configuration,
            (8,) * (2 if configuration == "2d" else 3),
            features=(4, 6),
            median=SHAPE,
            preprocessing={"orientation": "as_stored", "transpose": (0, 1, 2), "spacing_mm": GRID.spacing_mm},
        ),
        method=Method(name="autoseg"),
        schedule=Schedule(epochs=1, iterations_per_epoch=1, validation_iterations=1),
        channels=("MR",),
        labels=LABELS,
        regions_class_order=None,
        mirror_axes=(0, 1, 2),
        train_cases=train_cases,
        val_cases=val_cases,
        versions={"autoseg": "0"},
    )


@pytest.fixture
def fabricated(tmp_path: Path) -> Fabricated:
    """Nothing trained yet: call `run` or `model`."""
    return Fabricated(tmp_path / "workspace")
