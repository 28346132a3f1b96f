"""Fingerprint and plan of real data sets against what nnU-Net v2 (2.8.1) finds on the same files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.core.workspace import Workspace
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.plan import Plan
from autoseg.stages import fingerprint as fingerprint_stage
from autoseg.stages import plan as plan_stage


def prepared(
    root: Path, name: str, cases: dict[str, tuple[list[Path], Path]], channels: list[str], labels: dict[str, int]
) -> tuple[Fingerprint, Plan]:
    """Link the files into a raw data set, fingerprint and plan it."""
    workspace = Workspace(root)
    folder = workspace.raw_dataset(name)
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for case_id, (images, label) in cases.items():
        for index, image in enumerate(images):
            (folder / "imagesTr" / f"{case_id}_{index:04d}.nii.gz").symlink_to(image)
        (folder / "labelsTr" / f"{case_id}.nii.gz").symlink_to(label)
    values = {
        "channel_names": {str(index): channel for index, channel in enumerate(channels)},
        "labels": {"background": 0, **labels},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(values))
    found = fingerprint_stage.run(fingerprint_stage.Options(name, workers=1), workspace)
    return found, plan_stage.run(plan_stage.Options(name, method="nnunet"), workspace)


def test_hippocampus_equals_the_peer(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "Task04_Hippocampus"
    cases = {
        path.name[: -len(".nii.gz")]: ([path], source / "labelsTr" / path.name)
        for path in (source / "imagesTr").glob("hippocampus_*.nii.gz")
    }
    found, plan = prepared(tmp_path, "Dataset004_Hippocampus", cases, ["MRI"], {"Anterior": 1, "Posterior": 2})
    (statistics,) = found.intensities
    expected = {
        "mean": 21846.83,
        "median": 361.05,
        "std": 59691.73,
        "minimum": 0.0,
        "maximum": 465995.09,
        "percentile_00_5": 29.0,
        "percentile_99_5": 274490.28,
    }
    for name, value in expected.items():
        assert getattr(statistics, name) == pytest.approx(value, rel=5e-4), name
    flat, full = plan.configuration("2d"), plan.configuration("3d_fullres")
    assert (flat.patch_size_voxels, flat.batch_size) == ((56, 40), 281)
    assert (full.patch_size_voxels, full.batch_size) == ((40, 56, 40), 7)
    assert full.median_shape_voxels == (36, 50, 35)
    assert set(plan.configurations) == {"2d", "3d_fullres"}


def test_brats_equals_the_peer(test_data: Path, tmp_path: Path) -> None:
    cases = {}
    for folder in (test_data / "brats2015").iterdir():
        if (folder / "OTMultiClass.nii.gz").is_file():
            images = [next(folder.glob(f"*{part}*.nii.gz")) for part in ("Flair", "T1c")]
            cases[folder.name] = (images, folder / "OTMultiClass.nii.gz")
    labels = {"necrosis": 1, "edema": 2, "non_enhancing": 3, "enhancing": 4}
    _, plan = prepared(tmp_path, "Dataset015_Brats", cases, ["FLAIR", "T1c"], labels)
    flat, full = plan.configuration("2d"), plan.configuration("3d_fullres")
    assert (flat.patch_size_voxels, flat.batch_size) == ((256, 256), 27)
    assert flat.topology.features == (32, 64, 128, 256, 512, 512, 512)
    assert (full.patch_size_voxels, full.batch_size) == ((96, 160, 160), 2)
    assert full.topology.features == (32, 64, 128, 256, 320, 320)
    assert full.topology.strides == ((1, 1, 1), *((2, 2, 2),) * 4, (1, 2, 2))
