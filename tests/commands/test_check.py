"""check: every finding of the list trips here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.commands import check
from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.core.workspace import Workspace
from autoseg.datasets.checks import Finding
from autoseg.io.images import write_image, write_label

GRID = Geometry((6, 8, 10), (2.0, 0.9, 0.9), (1.0, 2.0, 3.0))


class Raw:
    """A valid CT data set of two cases, to be spoilt in one place."""

    def __init__(self, workspace: Workspace, name: str = "Dataset001_Liver", **changes: Any) -> None:
        self.workspace, self.folder, self.name = workspace, workspace.raw / name, name
        for index, case in enumerate("ab"):
            self.image(case, self.voxels(index))
            self.label(case, self.labels())
        values: dict[str, Any] = {
            "channel_names": {"0": "CT"},
            "labels": {"background": 0, "liver": 1, "tumour": 2},
            "numTraining": 2,
            "file_ending": ".nii.gz",
        }
        (self.folder / "dataset.json").write_text(json.dumps(values | changes))

    @staticmethod
    def voxels(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(-1000, 300, (1, *GRID.shape)).astype(np.float32)

    @staticmethod
    def labels() -> np.ndarray:
        array = np.zeros(GRID.shape, np.uint8)
        array[1:5, 1:6, 1:6] = 1
        array[2:4, 2:4, 2:4] = 2
        return array

    def image(self, case: str, array: np.ndarray, grid: Geometry = GRID, channel: int = 0) -> None:
        write_image(self.folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz", array, grid)

    def label(self, case: str, array: np.ndarray, grid: Geometry = GRID) -> None:
        write_label(self.folder / "labelsTr" / f"{case}.nii.gz", array, grid)

    def findings(self) -> tuple[Finding, ...]:
        return check.run(check.Options(self.name, workers=1), self.workspace)


@pytest.fixture
def raw(tmp_path: Path) -> Raw:
    return Raw(Workspace(tmp_path))


def only(findings: tuple[Finding, ...]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_nothing_wrong(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    assert raw.findings() == ()
    assert "Dataset001_Liver: 2 cases, 0 to mend, 0 to look at" in capsys.readouterr().out
    assert check.run(check.Options(str(raw.folder), workers=1), raw.workspace) == ()


def test_unknown_data_set(raw: Raw) -> None:
    with pytest.raises(DatasetError, match="no data set '9'"):
        check.run(check.Options("9"), raw.workspace)


def spoil_missing_label(raw: Raw) -> None:
    (raw.folder / "labelsTr" / "a.nii.gz").unlink()


def spoil_two_files(raw: Raw) -> None:
    shutil.copy(raw.folder / "imagesTr" / "a_0000.nii.gz", raw.folder / "imagesTr" / "a.nii.gz")


def spoil_unreadable(raw: Raw) -> None:
    (raw.folder / "imagesTr" / "a_0000.nii.gz").write_bytes(b"[bold]broken")


def spoil_shape(raw: Raw) -> None:
    raw.label("a", np.ones((6, 8, 9), np.uint8), Geometry((6, 8, 9), GRID.spacing_mm, GRID.origin_mm))


def spoil_non_finite(raw: Raw) -> None:
    array = raw.voxels(0)
    array[0, 0, 0, 0] = np.nan
    raw.image("a", array)


def spoil_value(raw: Raw) -> None:
    array = raw.labels()
    array[0, 0, 0] = 7
    raw.label("a", array)


def spoil_integer(raw: Raw) -> None:
    write_image(raw.folder / "labelsTr" / "a.nii.gz", raw.labels().astype(np.float32) / 2, GRID)


def spoil_channels(raw: Raw) -> None:
    raw.image("a", np.concatenate([raw.voxels(0)] * 2))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing_label, "case a has no label"),
        (spoil_two_files, "are the same image"),
        (spoil_unreadable, "cannot be read"),
        (spoil_shape, "has the shape (6, 8, 9), its image (6, 8, 10)"),
        (spoil_non_finite, "1 voxels of a_0000.nii.gz are NaN or infinite"),
        (spoil_value, "holds 7, which dataset.json does not declare"),
        (spoil_integer, "which is no label"),
        (spoil_channels, "2 channels, dataset.json names 1"),
    ],
)
def test_failures(raw: Raw, spoil: Any, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(raw)
    finding = only(raw.findings())
    assert message in finding.problem
    assert (finding.severity, finding.where) == ("fail", "a")
    assert finding.cure
    assert "1 to mend, 0 to look at" in capsys.readouterr().out


def test_channel_grids(tmp_path: Path) -> None:
    raw = Raw(Workspace(tmp_path), channel_names={"0": "T1", "1": "T2"})
    raw.image("a", raw.voxels(5), channel=1)
    raw.image("b", raw.voxels(6), Geometry(GRID.shape, (2.002, 0.9, 0.9), GRID.origin_mm), channel=1)
    finding = only(raw.findings())
    assert (finding.severity, finding.where) == ("fail", "b")
    assert "b_0001.nii.gz and b_0000.nii.gz differ in spacing_mm" in finding.problem


def test_count_of_cases(tmp_path: Path) -> None:
    finding = only(Raw(Workspace(tmp_path), numTraining=5).findings())
    assert (finding.severity, finding.where) == ("fail", "Dataset001_Liver")
    assert "numTraining = 5, but there are 2" in finding.problem


def warn_affine(raw: Raw) -> None:
    raw.label("a", raw.labels(), Geometry(GRID.shape, GRID.spacing_mm))


def warn_identity(raw: Raw) -> None:
    grid = Geometry(GRID.shape, (1.0, 1.0, 1.0))
    raw.image("a", raw.voxels(0), grid)
    raw.label("a", raw.labels(), grid)


def warn_spacing(raw: Raw) -> None:
    grid = Geometry(GRID.shape, (12.0, 0.9, 0.9))
    raw.image("a", raw.voxels(0), grid)
    raw.label("a", raw.labels(), grid)


def warn_shear(raw: Raw) -> None:
    grid = Geometry(GRID.shape, GRID.spacing_mm, direction=((1, 0, 0), (0, 1, 0.1), (0, 0, 0.995)))
    raw.image("a", raw.voxels(0), grid)
    raw.label("a", raw.labels(), grid)


def warn_empty(raw: Raw) -> None:
    raw.label("a", np.zeros(GRID.shape, np.uint8))


def warn_not_hu(raw: Raw) -> None:
    raw.image("a", raw.voxels(0) + 1000)


def warn_outside(raw: Raw) -> None:
    array = raw.labels()
    array[5, 7, 7:] = 2
    raw.label("a", array)


def warn_two_livers(raw: Raw) -> None:
    array = raw.labels()
    array[1:5, 1:7, 8:] = 1
    raw.label("a", array)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (warn_affine, "differs from its image in origin_mm; the image's is used"),
        (warn_identity, "a CT with spacing 1 x 1 x 1 mm"),
        (warn_spacing, "spacing 12 x 0.9 x 0.9 mm (z, y, x) is outside 0.2 to 10"),
        (warn_shear, "its axes are not at right angles"),
        (warn_empty, "has no foreground"),
        (warn_not_hu, "so it is not in HU"),
        (warn_outside, "27% of the lesion voxels do not touch the liver"),
        (warn_two_livers, "the liver has 2 large pieces"),
    ],
)
def test_warnings(raw: Raw, spoil: Any, message: str) -> None:
    spoil(raw)
    finding = only(raw.findings())
    assert message in finding.problem
    assert (finding.severity, finding.where) == ("warn", "a")
    assert finding.cure


def test_label_that_never_occurs(tmp_path: Path) -> None:
    raw = Raw(Workspace(tmp_path), labels={"background": 0, "liver": 1, "tumour": 2, "cyst": 3})
    assert only(raw.findings()).problem == "no case holds the label 'cyst'"


def test_copies_within_and_between_data_sets(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    raw = Raw(workspace)
    raw.image("b", raw.voxels(0))
    assert only(raw.findings()).problem == "its image equals that of a"
    other = Raw(workspace, "Dataset002_Other")
    finding = only(other.findings())
    assert (finding.where, finding.problem) == ("a", "its image equals that of a in Dataset001_Liver")


def test_declared_overlap_is_no_surprise(tmp_path: Path) -> None:
    groups = {"provenance": {case: {"overlap_group": "lits-28"} for case in "ab"}}
    raw = Raw(Workspace(tmp_path), **groups)
    raw.image("b", raw.voxels(0))
    assert raw.findings() == ()
    assert Raw(raw.workspace, "Dataset002_Other", **groups).findings() == ()


def test_dead_worker_is_a_finding(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise DatasetError("its worker process was killed", "try fewer --workers")

    monkeypatch.setattr(check, "check_case", die)
    assert [finding.where for finding in raw.findings()] == ["a", "b"]
