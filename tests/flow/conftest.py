"""A small raw data set on disk, and commands run in this process as the command line runs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import run_command
from autoseg.core.geometry import Geometry
from autoseg.io.images import write_image, write_label

SHAPE = (12, 16, 16)
GEOMETRY = Geometry(SHAPE, (1.5, 1.0, 1.0), (3.0, -2.0, 7.0))
LABELS = {"background": 0, "organ": 1, "lesion": 2}


@dataclass(frozen=True)
class Result:
    """What a command did: its exit code and what it said."""

    code: int
    said: str

    @property
    def lines(self) -> list[str]:
        return self.said.splitlines()


def volume(seed: int, *, channels: int = 1, ignore: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A bright ball with a brighter core in noise, (C, Z, Y, X), and its labels."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(size) for size in SHAPE], indexing="ij"))
    distance = np.sqrt(((grid - (np.array(SHAPE) / 2 + rng.uniform(-1, 1, 3))[:, None, None, None]) ** 2).sum(0))
    labels = (distance < 5).astype(np.uint8) + (distance < 2.5)
    image = rng.normal(size=(channels, *SHAPE)) + 3.0 * labels
    if ignore is not None:
        labels[:2] = ignore
    return image.astype(np.float32), labels


def make_raw(
    folder: Path,
    *,
    cases: int = 5,
    test_cases: int = 3,
    channels: Sequence[str] = ("MR",),
    endings: Sequence[str] = (".nii.gz", ".nrrd", ".mha"),
    labels: dict[str, object] | None = None,
    ignore: int | None = None,
    **extra: object,
) -> Path:
    """`DatasetNNN_Name` as nnU-Net v2 lays it out; the endings take turns."""
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (folder / name).mkdir(parents=True)
    for index in range(cases + test_cases):
        side, case = ("Tr", f"case_{index}") if index < cases else ("Ts", f"scan_{index}")
        ending = endings[index % len(endings)]
        image, marks = volume(index, channels=len(channels), ignore=ignore)
        for channel, array in enumerate(image):
            write_image(folder / f"images{side}" / f"{case}_{channel:04d}{ending}", array, GEOMETRY)
        write_label(folder / f"labels{side}" / f"{case}{ending}", marks, GEOMETRY)
    spec = {
        "channel_names": {str(index): name for index, name in enumerate(channels)},
        "labels": labels or LABELS,
        "numTraining": cases,
        "file_ending": endings[0],
        **extra,
    }
    (folder / "dataset.json").write_text(json.dumps(spec))
    return folder


@pytest.fixture(scope="module", autouse=True)
def _figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Drawing is two thirds of the CPU time of these tiny runs: only modules that say `FIGURES = True` draw."""
    from autoseg.reporting import curves
    from autoseg.stages import evaluate

    with pytest.MonkeyPatch.context() as patch:
        if not getattr(request.module, "FIGURES", False):
            patch.setattr(curves, "draw_curves", lambda *_, **__: None)
            patch.setattr(evaluate, "draw_report", lambda *_, **__: None)
        yield


@pytest.fixture(scope="session")
def raw_dataset() -> Callable[..., Path]:
    """`raw_dataset(folder, cases=5, ...)` writes a data set."""
    return make_raw


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """`command("train", "1", workspace=...)` runs one command line in this process."""

    def run(*arguments: object, workspace: Path) -> Result:
        capfd.readouterr()
        code = run_command([*map(str, arguments), "--workspace", str(workspace), "--workers", "1"])
        return Result(code, capfd.readouterr().err)

    return run
