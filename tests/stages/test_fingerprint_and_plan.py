"""The first two stages on a small data set on disk: caching, quarantine, re-planning, splits."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from autoseg.core.errors import DatasetError, SpecError
from autoseg.core.workspace import Workspace
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.plan import Plan
from autoseg.specs.splits import Splits
from autoseg.stages import fingerprint as fingerprint_stage
from autoseg.stages import plan as plan_stage

NAME = "Dataset007_Tiny"
IGNORE = 3


def write_case(folder: Path, case_id: str, *, seed: int, shape: tuple[int, int, int] = (14, 16, 12)) -> None:
    """Image with an empty margin of 2 voxels along the last axis, labels 0..2 and the ignore label 3; x-first files."""
    rng = np.random.RandomState(seed)
    image = rng.randint(1, 100, shape).astype(np.int16)
    labels = np.zeros(shape, np.uint8)
    labels[3:6, 3:6, 3:6] = 1
    labels[7:9, 7:9, 4:6] = 2
    labels[10:12] = IGNORE
    image[labels == IGNORE] = 30_000
    image[..., :2] = 0
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    nib.save(nib.Nifti1Image(image, affine), folder / "imagesTr" / f"{case_id}_0000.nii.gz")
    nib.save(nib.Nifti1Image(labels, affine), folder / "labelsTr" / f"{case_id}.nii.gz")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path)
    folder = found.raw_dataset(NAME)
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for index in range(6):
        write_case(folder, f"case_{index}", seed=index)
    labels = {"background": 0, "kidney_left": 1, "kidney_right": 2, "ignore": IGNORE}
    values = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 6, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(values))
    return found


def fingerprint(workspace: Workspace, **options: object) -> Fingerprint:
    return fingerprint_stage.run(fingerprint_stage.Options(NAME, **options), workspace)


def plan(workspace: Workspace, method: str = "nnunet", **options: object) -> Plan:
    return plan_stage.run(plan_stage.Options(NAME, method=method, **options), workspace)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cases that were decoded, in order."""
    seen: list[str] = []
    original = fingerprint_stage.read_case

    def spy(case, **options):
        seen.append(case.case_id)
        return original(case, **options)

    monkeypatch.setattr(fingerprint_stage, "read_case", spy)
    return seen


def test_fingerprint_of_a_small_data_set(workspace: Workspace) -> None:
    found = fingerprint(workspace)
    case = found.cases[0]
    assert [one.case_id for one in found.cases] == [f"case_{index}" for index in range(6)]
    assert case.shape_voxels == (12, 16, 14)
    assert case.cropped_shape_voxels == (10, 16, 14)
    assert case.spacing_mm == (2.0, 0.5, 0.5)
    assert case.orientation == "SAR"
    assert case.label_voxels == {"0": 12 * 16 * 14 - 27 - 8 - 384, "1": 27, "2": 8, "3": 384}
    assert found.median_relative_size_after_cropping == pytest.approx(10 / 12)
    assert Fingerprint.load(workspace.fingerprint(NAME)) == found


def test_ignore_label_is_no_foreground(workspace: Workspace) -> None:
    # nnU-Net v2 takes everything above 0 here and would find 30000.
    assert fingerprint(workspace).intensities[0].maximum < 100


def test_rerun_reads_nothing_and_gives_the_same(workspace: Workspace, reads: list[str]) -> None:
    first = fingerprint(workspace)
    assert len(reads) == 6
    reads.clear()
    assert fingerprint(workspace) == first
    assert reads == []
    assert fingerprint(workspace, clean=True) == first
    assert len(reads) == 6


def test_touched_file_is_hashed_but_not_decoded(workspace: Workspace, reads: list[str]) -> None:
    first = fingerprint(workspace)
    reads.clear()
    os.utime(workspace.raw_dataset(NAME) / "labelsTr" / "case_2.nii.gz", (1, 1))
    assert fingerprint(workspace) == first
    assert reads == []


def test_changed_and_removed_cases_are_noticed(workspace: Workspace, reads: list[str]) -> None:
    first = fingerprint(workspace)
    reads.clear()
    folder = workspace.raw_dataset(NAME)
    write_case(folder, "case_3", seed=3, shape=(20, 16, 12))
    (folder / "imagesTr" / "case_5_0000.nii.gz").unlink()
    (folder / "labelsTr" / "case_5.nii.gz").unlink()
    values = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**values, "numTraining": 5}))
    second = fingerprint(workspace)
    assert reads == ["case_3"]
    assert len(second.cases) == 5
    assert second.cases[3].shape_voxels == (12, 16, 20)
    assert second.cases[2] == first.cases[2]


def test_damaged_cache_is_read_again(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    first = fingerprint(workspace)
    (workspace.prepared(NAME) / fingerprint_stage.FACTS).write_bytes(b"no zip at all")
    with caplog.at_level(logging.WARNING):
        assert fingerprint(workspace) == first
    assert "is damaged" in caplog.text


def test_bad_case_is_quarantined_and_the_rest_goes_on(workspace: Workspace) -> None:
    label = workspace.raw_dataset(NAME) / "labelsTr" / "case_1.nii.gz"
    image = nib.load(label)
    nib.save(nib.Nifti1Image(np.full(image.shape, 9, np.uint8), image.affine), label)
    with pytest.raises(DatasetError, match=r"1 bad case; \S+case_1\.nii\.gz holds the label 9.*--skip-bad-cases"):
        fingerprint(workspace)
    assert not workspace.fingerprint(NAME).exists()
    found = fingerprint(workspace, skip_bad_cases=True)
    assert "label 9" in found.quarantined["case_1"]
    assert [case.case_id for case in found.cases] == ["case_0", "case_2", "case_3", "case_4", "case_5"]


def test_a_case_without_its_files_is_left_out_when_asked(workspace: Workspace) -> None:
    (workspace.raw_dataset(NAME) / "labelsTr" / "case_4.nii.gz").unlink()
    (workspace.raw_dataset(NAME) / "imagesTr" / "case_2_0000.nii.gz").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"2 bad cases; .*case_2_0000.*; case case_4 has no label"):
        fingerprint(workspace)
    found = fingerprint(workspace, skip_bad_cases=True)
    assert set(found.quarantined) == {"case_2", "case_4"}
    assert len(found.cases) == 4


def test_workers_give_the_same_fingerprint(workspace: Workspace) -> None:
    assert fingerprint(workspace, workers=2, clean=True) == fingerprint(workspace, clean=True)


def test_no_usable_case_is_an_error(workspace: Workspace) -> None:
    for path in (workspace.raw_dataset(NAME) / "imagesTr").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DatasetError, match="no usable case"):
        fingerprint(workspace, skip_bad_cases=True)


def test_plan_and_splits_are_written(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint(workspace)
    made = plan(workspace)
    assert Plan.load(workspace.plan(NAME, "nnunet")) == made
    splits = Splits.load(workspace.splits(NAME, "nnunet"))
    assert len(splits.folds) == 5
    assert made.mirror_axes == (0, 1, 2)
    monkeypatch.setattr(plan_stage, "measure_device", lambda _: plan_stage.DeviceBudget("gpu", memory_gb=24.0))
    assert plan(workspace, "autoseg").mirror_axes == (0, 1)


def test_equal_plan_is_kept_and_a_differing_one_needs_replan(workspace: Workspace) -> None:
    fingerprint(workspace)
    path = workspace.plan(NAME, "nnunet")
    plan(workspace)
    before = path.stat().st_mtime_ns
    plan(workspace)
    assert path.stat().st_mtime_ns == before
    smaller = ("plan.overrides.2d.batch_size=77",)
    with pytest.raises(SpecError, match=r"2d\.batch_size: \d+ -> 77.*--replan"):
        plan(workspace, overrides=smaller)
    assert plan(workspace, overrides=smaller, replan=True).configuration("2d").batch_size == 77
    assert Plan.load(path).configuration("2d").batch_size == 77


def test_plan_made_for_another_device_is_kept(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint(workspace)
    monkeypatch.setattr(plan_stage, "measure_device", lambda _: plan_stage.DeviceBudget("gpu", memory_gb=24.0))
    on_gpu = plan(workspace, "autoseg")
    monkeypatch.undo()
    assert plan(workspace, "autoseg", device="cpu") == on_gpu
    assert plan(workspace, "autoseg", device="cpu", replan=True) != on_gpu


def test_plan_without_fingerprint(workspace: Workspace) -> None:
    with pytest.raises(SpecError, match="has no fingerprint"):
        plan(workspace)


def test_wanted_configuration_that_does_not_come_out(workspace: Workspace) -> None:
    fingerprint(workspace)
    with pytest.raises(SpecError, match="no configuration '3d_lowres': not planned"):
        plan(workspace, configurations=("3d_lowres",))


def test_the_number_of_folds_is_a_choice_that_is_kept(workspace: Workspace) -> None:
    def folds() -> int:
        return len(Splits.load(workspace.splits(NAME, "nnunet")).folds)

    fingerprint(workspace)
    plan(workspace, num_folds=2)
    assert folds() == 2
    plan(workspace)
    assert folds() == 2, "nobody asked for another number"
    with pytest.raises(SpecError, match=r"holds other folds than kfold\(3, seed 12345\) gives now: give --replan"):
        plan(workspace, num_folds=3)
    plan(workspace, num_folds=3, replan=True)
    assert folds() == 3
    given = [{"train": ["case_0", "case_1"], "val": ["case_2"]}]
    (workspace.raw_dataset(NAME) / "splits_final.json").write_text(json.dumps(given))
    with pytest.raises(SpecError, match="has 1 folds, not 3: change it, or leave --num-folds out"):
        plan(workspace, num_folds=3, replan=True)


def test_folds_of_the_raw_folder_are_used(workspace: Workspace) -> None:
    fingerprint(workspace)
    folds = [{"train": ["case_0", "case_1"], "val": ["case_2"]}]
    (workspace.raw_dataset(NAME) / "splits_final.json").write_text(json.dumps(folds))
    plan(workspace)
    assert Splits.load(workspace.splits(NAME, "nnunet")).folds[0].val == ("case_2",)
    (workspace.prepared(NAME) / "splits_final.json").write_text(json.dumps([*folds, *folds]))
    with pytest.raises(SpecError, match="holds other folds"):
        plan(workspace)
    plan(workspace, replan=True)
    assert len(Splits.load(workspace.splits(NAME, "nnunet")).folds) == 2
    (workspace.prepared(NAME) / "splits_final.json").write_text(json.dumps([{"train": ["case_4"], "val": ["case_5"]}]))
    with pytest.raises(SpecError, match="differ"):
        plan(workspace)


def test_folds_that_split_a_patient_are_warned_about(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    folder = workspace.raw_dataset(NAME)
    values = json.loads((folder / "dataset.json").read_text())
    provenance = {"case_0": {"patient": "a"}, "case_2": {"patient": "a"}}
    (folder / "dataset.json").write_text(json.dumps({**values, "provenance": provenance}))
    fingerprint(workspace)
    plan(workspace)
    val = [set(fold.val) for fold in Splits.load(workspace.splits(NAME, "nnunet")).folds]
    assert any({"case_0", "case_2"} <= side for side in val)
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["case_0"], "val": ["case_2"]}]))
    with caplog.at_level(logging.WARNING):
        plan(workspace, replan=True)
    assert "patient a is on both sides" in caplog.text


def test_a_case_dropped_from_given_folds_is_named(workspace: Workspace) -> None:
    (workspace.raw_dataset(NAME) / "imagesTr" / "case_2_0000.nii.gz").write_bytes(b"no image")
    fingerprint(workspace, skip_bad_cases=True)
    folds = [{"train": ["case_0", "case_1"], "val": ["case_2", "case_3"]}]
    (workspace.raw_dataset(NAME) / "splits_final.json").write_text(json.dumps(folds))
    plan(workspace)
    assert Splits.load(workspace.splits(NAME, "nnunet")).folds[0].val == ("case_3",)
