"""The stage on a small data set on disk: sharing, resuming, quarantine, full disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.core.errors import DatasetError, SpecError, StorageError
from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.io.case_store import StoredCase, stored_cases
from autoseg.io.images import write_image, write_label
from autoseg.preprocessing.folder import cases_digest
from autoseg.specs.plan import Plan
from autoseg.stages import preprocess as stage

NAME = "Dataset003_Tiny"
GEOMETRY = Geometry((8, 12, 10), (2.0, 1.0, 1.0))
STATISTICS = dict.fromkeys(("mean", "median", "minimum", "percentile_00_5"), 0.0)
STATISTICS |= dict.fromkeys(("std", "maximum", "percentile_99_5"), 1.0)


def _write_case(raw: Path, case_id: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    image = np.zeros((1, *GEOMETRY.shape), np.float32)
    image[:, 1:7] = generator.uniform(1, 9, (1, 6, 12, 10))
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels[2:5, 3:7, 4:6] = 1
    write_image(raw / "imagesTr" / f"{case_id}_0000.nii.gz", image, GEOMETRY)
    write_label(raw / "labelsTr" / f"{case_id}.nii.gz", labels, GEOMETRY)


def _configuration(name: str, **changes: Any) -> dict[str, Any]:
    dimensions = 2 if name == "2d" else 3
    section = {
        "orientation": "as_stored",
        "transpose": [0, 1, 2],
        "spacing_mm": [1.0, 1.0, 1.0],
        "normalization": [{"name": "zscore"}],
        "mask_normalization": [False],
        "intensities": [STATISTICS],
    }
    return {
        "name": name,
        "preprocessing": section | changes,
        "patch_size_voxels": [8] * dimensions,
        "batch_size": 2,
        "median_shape_voxels": [12, 12, 10],
        "topology": {
            "features": [8],
            "strides": [[1] * dimensions],
            "kernels": [[3] * dimensions],
            "encoder_blocks": [1],
            "decoder_blocks": [],
        },
        "network": {"name": "plain_unet"},
        "batch_dice": False,
    }


def _write_plan(workspace: Workspace, *configurations: dict[str, Any], labels: tuple[str, ...] = ("liver",)) -> Plan:
    values = {
        "dataset": NAME, "method": "own", "fingerprint": "f", "method_digest": "m", "channels": ["MR"],
        "labels": {"background": 0} | {label: index for index, label in enumerate(labels, start=1)},
        "regions_class_order": None, "mirror_axes": [0, 1, 2], "decisions": [],
        "configurations": {one["name"]: one for one in configurations},
    }  # fmt: skip
    plan = Plan.parse(values, "plan")
    plan.save(workspace.plan(NAME, "own"))
    return plan


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path)
    raw = found.raw_dataset(NAME)
    for index in range(3):
        _write_case(raw, f"case_{index}", index)
    values = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "liver": 1}, "numTraining": 3}
    (raw / "dataset.json").write_text(json.dumps(values | {"file_ending": ".nii.gz"}))
    _write_plan(found, _configuration("3d_fullres"), _configuration("2d", native_axes=[0]))
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cases that were decoded, in order."""
    seen: list[str] = []
    original = stage.read_case

    def spy(case: Any, **options: Any) -> Any:
        seen.append(case.case_id)
        return original(case, **options)

    monkeypatch.setattr(stage, "read_case", spy)
    return seen


def _run(workspace: Workspace, **options: Any) -> stage.Prepared:
    return stage.run(stage.Options(NAME, method="own", **options), workspace)


def test_every_case_is_read_once_and_stored_for_every_configuration(workspace: Workspace, reads: list[str]) -> None:
    prepared = _run(workspace)
    assert reads == ["case_0", "case_1", "case_2"]
    assert prepared.quarantined == {}
    assert set(prepared.folders) == {"3d_fullres", "2d"}
    assert all(stored_cases(folder) == ("case_0", "case_1", "case_2") for folder in prepared.folders.values())
    assert StoredCase(prepared.folders["3d_fullres"], "case_0").shape == (12, 12, 10)
    flat = StoredCase(prepared.folders["2d"], "case_0")
    assert flat.shape == (6, 12, 10)
    assert flat.record.case_id == "case_0"
    assert len(flat.locations["liver"]) == flat.record.label_voxels["1"] == 24


def test_equal_sections_share_a_folder_and_its_cases_name_the_section(workspace: Workspace) -> None:
    plan = _write_plan(workspace, _configuration("3d_fullres"), _configuration("3d_cascade_fullres"))
    folders = _run(workspace).folders
    digest = cases_digest(plan.configurations["3d_fullres"].preprocessing)
    assert set(folders.values()) == {workspace.cases(NAME, digest)}


def test_one_configuration_can_be_asked_for(workspace: Workspace) -> None:
    assert set(_run(workspace, configurations=("2d",)).folders) == {"2d"}
    with pytest.raises(SpecError, match="has no '3d_fulres': did you mean '3d_fullres'"):
        _run(workspace, configurations=("3d_fulres",))


def test_a_second_run_reads_nothing(workspace: Workspace, reads: list[str]) -> None:
    _run(workspace)
    reads.clear()
    _run(workspace)
    assert reads == []


def test_a_touched_file_is_hashed_once_and_not_made_again(
    workspace: Workspace, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(workspace)
    reads.clear()
    os.utime(workspace.raw_dataset(NAME) / "imagesTr" / "case_1_0000.nii.gz", (1, 1))
    _run(workspace)
    assert reads == []

    def refuse(files: Any) -> str:
        raise AssertionError("hashed again")

    monkeypatch.setattr(stage, "content_digest", refuse)
    _run(workspace)


def test_a_changed_case_alone_is_made_again(workspace: Workspace, reads: list[str]) -> None:
    folder = _run(workspace).folders["3d_fullres"]
    before = StoredCase(folder, "case_1").read()[0].copy()
    reads.clear()
    _write_case(workspace.raw_dataset(NAME), "case_1", seed=9)
    _run(workspace)
    assert reads == ["case_1"]
    assert not np.array_equal(StoredCase(folder, "case_1").read()[0], before)


def test_a_new_meaning_of_labels_makes_all_again(workspace: Workspace, reads: list[str]) -> None:
    _run(workspace)
    reads.clear()
    _write_plan(workspace, _configuration("3d_fullres"), labels=("hepar",))
    _run(workspace)
    assert reads == ["case_0", "case_1", "case_2"]


def test_an_interrupted_run_goes_on(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, reads: list[str]) -> None:
    original = stage.save_case

    def stop_at_second(folder: Path, record: Any, *arrays: Any, **options: Any) -> Path:
        if record.case_id == "case_1":
            raise KeyboardInterrupt
        return original(folder, record, *arrays, **options)

    with monkeypatch.context() as patched:
        patched.setattr(stage, "save_case", stop_at_second)
        with pytest.raises(KeyboardInterrupt):
            _run(workspace)
    reads.clear()
    _run(workspace)
    assert reads == ["case_1", "case_2"]


def test_a_bad_case_is_named_its_old_copy_removed_and_the_rest_goes_on(workspace: Workspace) -> None:
    folder = _run(workspace).folders["3d_fullres"]
    (workspace.raw_dataset(NAME) / "imagesTr" / "case_1_0000.nii.gz").write_bytes(b"broken")
    prepared = _run(workspace)
    assert list(prepared.quarantined) == ["case_1"]
    assert "case_1_0000.nii.gz" in prepared.quarantined["case_1"]
    assert stored_cases(folder) == ("case_0", "case_2")


def test_an_undeclared_label_is_quarantined(workspace: Workspace) -> None:
    labels = np.full(GEOMETRY.shape, 7, np.uint8)
    write_label(workspace.raw_dataset(NAME) / "labelsTr" / "case_2.nii.gz", labels, GEOMETRY)
    assert "holds the label 7" in _run(workspace).quarantined["case_2"]


def test_no_usable_case_is_an_error(workspace: Workspace) -> None:
    for path in (workspace.raw_dataset(NAME) / "imagesTr").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DatasetError, match="no usable case; case_0"):
        _run(workspace)


@pytest.mark.parametrize("written", [0, 6, 10])
def test_a_full_disk_stops_with_one_line_and_no_half_case(
    workspace: Workspace, full_disk: Callable[..., None], monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    full_disk(after=written)
    with pytest.raises(StorageError, match=r"cannot write .*free some space"):
        _run(workspace)
    monkeypatch.undo()
    for folder in workspace.prepared(NAME).glob("cases_*"):
        assert all(path.name == case for path, case in zip(sorted(folder.iterdir()), stored_cases(folder), strict=True))
    assert _run(workspace).quarantined == {}


def test_processes_make_the_same_cases(workspace: Workspace) -> None:
    alone = StoredCase(_run(workspace).folders["3d_fullres"], "case_1").read()
    for folder in workspace.prepared(NAME).glob("cases_*"):
        folder.rename(folder.with_name("moved_" + folder.name))
    together = StoredCase(_run(workspace, workers=2).folders["3d_fullres"], "case_1").read()
    np.testing.assert_array_equal(alone[0], together[0])
    np.testing.assert_array_equal(alone[1], together[1])


def test_a_label_that_is_missing_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    original = stage.read_case

    def unlabelled(case: Any, **options: Any) -> Any:
        image, geometry, _ = original(case, **options)
        return image, geometry, None

    monkeypatch.setattr(stage, "read_case", unlabelled)
    with pytest.raises(DatasetError, match="case case_0 has no label"):
        _run(workspace)


def test_what_a_case_annotates_is_stored_with_it(workspace: Workspace, reads: list[str]) -> None:
    _write_plan(workspace, _configuration("3d_fullres"), labels=("liver", "spleen"))
    document = workspace.raw_dataset(NAME) / "dataset.json"
    values = json.loads(document.read_text()) | {"labels": {"background": 0, "liver": 1, "spleen": 2}}

    def annotate(names: list[str]) -> stage.Prepared:
        reads.clear()
        document.write_text(json.dumps(values | {"provenance": {"case_1": {"annotated": names}}}))
        return _run(workspace)

    folder = annotate(["liver"]).folders["3d_fullres"]
    assert [StoredCase(folder, f"case_{index}").annotated for index in range(3)] == [None, ("liver",), None]
    annotate(["liver"])
    assert reads == []
    annotate(["liver", "spleen"])
    assert reads == ["case_1"]
    assert StoredCase(folder, "case_1").annotated is None
    reason = annotate(["spleen"]).quarantined["case_1"]
    assert "holds the label 1 (liver), which it is said not to annotate" in reason
