"""Held-out masks for the next stage: whose they are, where they lie, when they are made again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from small import small_configuration

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.inference.next_stage import bring_to_next_stage, held_out_masks, labels_digest, next_stage_folder
from autoseg.inference.scored_runs import WEIGHTS, ScoredRun, previous_runs
from autoseg.io.case_store import save_case
from autoseg.io.images import write_label
from autoseg.io.label_store import StoredLabels
from autoseg.preprocessing.case import preprocess_case
from autoseg.specs.method import Method
from autoseg.specs.plan import Configuration
from autoseg.specs.report import Report
from autoseg.specs.run import Run, Schedule
from autoseg.specs.splits import Fold, Splits

GRID = Geometry((9, 12, 10), (2.0, 1.0, 1.0), (1.0, 2.0, 3.0), ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
LABELS: dict[str, int | tuple[int, ...]] = {"background": 0, "organ": 1, "lesion": 2}
SPLITS = Splits(origin="told", folds=(Fold(train=("c", "d"), val=("a", "b")), Fold(train=("a", "b"), val=("c", "d"))))


def configuration(name: str, previous: str | None = None) -> Configuration:
    return small_configuration(
        name,
        (8, 8, 8),
        features=(4, 6),
        median=(12, 12, 12),
        preprocessing={"orientation": "canonical", "transpose": (1, 0, 2), "spacing_mm": (1.5, 1.5, 0.8)},
        previous_stage=previous,
    )


NO_CASES = Report(protocol="autoseg", definitions={}, cases=(), summary={})
NEXT = configuration("3d_cascade_fullres", "3d_lowres")


def mask(case: str) -> np.ndarray:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:7, 3:9, 2:8] = 1
    labels[3:5, 4:6, 3 : 4 + "abcd".index(case)] = 2
    return labels


def a_run(fold: int, one: Configuration) -> Run:
    return Run(
        dataset="Dataset901_Fake",
        fold=str(fold),
        seed=0,
        device="cpu",
        precision="float32",
        plan="0" * 12,
        configuration=one,
        method=Method(name="test"),
        schedule=Schedule(epochs=1, iterations_per_epoch=1, validation_iterations=1),
        channels=("MR",),
        labels=LABELS,
        regions_class_order=None,
        mirror_axes=(),
        train_cases=SPLITS.folds[fold].train,
        val_cases=SPLITS.folds[fold].val,
        versions={},
    )


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """Runs of `3d_lowres`, both folds complete, with masks."""
    folder = tmp_path / "runs" / "3d_lowres"
    for number, fold in enumerate(SPLITS.folds):
        run = folder / f"fold_{number}"
        run.mkdir(parents=True)
        a_run(number, configuration("3d_lowres")).save(run / "run.json")
        (run / WEIGHTS).write_bytes(b"weights")
        for case in fold.val:
            write_label(run / "validation" / f"{case}.nii.gz", mask(case), GRID)
    return folder


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Preprocessed cases of the next stage, whose labels are the masks themselves."""
    space = LabelSpace.parse(LABELS)
    for case in "abcd":
        image = np.random.default_rng(0).normal(size=(1, *GRID.shape)).astype(np.float32) + 3 * mask(case)
        prepared, own, record, locations = preprocess_case(
            image, GRID, mask(case), NEXT.preprocessing, space, case_id=case
        )
        save_case(tmp_path / "cases", record, prepared, own, locations, patch_size_voxels=(8, 8, 8))
    return tmp_path / "cases"


def bring(stage: Path, stored: Path, *cases: str) -> Path:
    target = next_stage_folder(stage, NEXT)
    masks = held_out_masks(stage, SPLITS, cases or "abcd")
    bring_to_next_stage(masks, stored, NEXT, target=target, workers=1)
    return target


def test_every_case_is_taken_from_the_fold_that_held_it_out(stage: Path) -> None:
    found = held_out_masks(stage, SPLITS, ["d", "a"])
    assert found == {"d": stage / "fold_1/validation/d.nii.gz", "a": stage / "fold_0/validation/a.nii.gz"}


def test_masks_come_to_the_grid_of_the_cases(stage: Path, stored: Path) -> None:
    from autoseg.io.case_store import StoredCase

    target = bring(stage, stored)
    for case in "abcd":
        own = StoredCase(stored, case).read()[1]
        assert own is not None
        # The same way as the case's own labels; what lies outside of the body is background here.
        np.testing.assert_array_equal(StoredLabels(target, case).read(), np.maximum(own, 0))


def test_only_changed_masks_are_made_again(stage: Path, stored: Path) -> None:
    target = bring(stage, stored)
    before = {path.name: path.stat().st_mtime_ns for path in target.iterdir()}
    digest = labels_digest(target, "abcd")
    assert labels_digest(target, "dcbaa") == digest, "neither order nor repetition counts"
    os.utime(stage / "fold_0/validation/a.nii.gz")
    bring(stage, stored)
    assert {path.name: path.stat().st_mtime_ns for path in target.iterdir()} == before, "the content counts"
    write_label(stage / "fold_0/validation/a.nii.gz", mask("d"), GRID)
    bring(stage, stored)
    changed = {path.name for path in target.iterdir() if path.stat().st_mtime_ns != before[path.name]}
    assert changed == {"a.b2nd"}
    assert labels_digest(target, "abcd") != digest
    assert labels_digest(None, "abcd") is None


@pytest.mark.parametrize("lack", ["run", "weights", "masks", "a mask", "new masks"])
def test_an_incomplete_fold_is_named(stage: Path, lack: str) -> None:
    fold = stage / "fold_1"
    if lack == "run":
        (fold / "run.json").unlink()
    elif lack == "weights":
        (fold / WEIGHTS).unlink()
    elif lack == "masks":
        (fold / "validation").rename(fold / "elsewhere")
    elif lack == "a mask":
        (fold / "validation" / "c.nii.gz").unlink()
    else:
        later = (fold / "validation" / "c.nii.gz").stat().st_mtime + 5
        os.utime(fold / WEIGHTS, (later, later))
    with pytest.raises(DatasetError, match=r"3d_lowres has no held-out masks of fold\(s\) 1, .*plan_and_train"):
        held_out_masks(stage, SPLITS, "abcd")
    assert set(held_out_masks(stage, SPLITS, "ab")) == {"a", "b"}, "fold 0 is whole"


def test_a_case_that_no_fold_holds_out_is_named(stage: Path) -> None:
    one = Splits(origin="told", folds=SPLITS.folds[:1])
    with pytest.raises(DatasetError, match=r"no fold holds out 2 cases \(c, d\): 3d_lowres has no honest mask of them"):
        held_out_masks(stage, one, "abcd")


def test_a_mask_on_another_grid_is_refused(stage: Path, stored: Path) -> None:
    write_label(stage / "fold_0/validation/a.nii.gz", mask("a")[:-1], Geometry((8, 12, 10), GRID.spacing_mm))
    with pytest.raises(DatasetError, match=r"mask .*a\.nii\.gz has the shape \[8, 12, 10\], its case \[9, 12, 10\]"):
        bring(stage, stored)


def test_a_model_packs_the_stages_before_its_candidates(stage: Path) -> None:
    root = stage.parent
    for number in (0, 1):
        NO_CASES.save(stage / f"fold_{number}" / "validation" / "report.json")
    run = a_run(0, NEXT)
    scored = ScoredRun(root / "3d_cascade_fullres" / "fold_0", run, NO_CASES)
    found = previous_runs(root, {"3d_cascade_fullres": [scored]})
    assert [one.run.fold for one in found["3d_lowres"]] == ["0", "1"]
    assert previous_runs(root, {"3d_cascade_fullres": [scored], **found}) == {}
    (stage / "fold_0" / WEIGHTS).unlink()
    (stage / "fold_1" / WEIGHTS).unlink()
    with pytest.raises(DatasetError, match="takes its input from 3d_lowres, which has no complete and scored training"):
        previous_runs(root, {"3d_cascade_fullres": [scored]})
