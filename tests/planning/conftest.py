"""Made-up fingerprints and data sets for the planner."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from autoseg.specs.dataset import Dataset
from autoseg.specs.fingerprint import CaseFingerprint, Fingerprint, IntensityStatistics

Vector = Sequence[float]


@pytest.fixture(scope="session")
def make_fingerprint() -> Callable[..., Fingerprint]:
    """`make_fingerprint(spacing, shape, cases=..., channels=..., relative_size=..., orientation=...)`."""

    def make(
        spacing: Vector = (1.0, 1.0, 1.0),
        shape: Sequence[int] = (36, 50, 35),
        *,
        cases: int = 20,
        channels: int = 1,
        relative_size: float = 1.0,
        orientation: str = "SPL",
    ) -> Fingerprint:
        flat = IntensityStatistics(mean=0, median=0, std=1, minimum=0, maximum=1, percentile_00_5=0, percentile_99_5=1)
        return Fingerprint(
            dataset="Dataset001_X",
            cases=tuple(
                CaseFingerprint(
                    case_id=f"case_{index:03d}",
                    content="",
                    shape_voxels=tuple(shape),
                    cropped_shape_voxels=tuple(shape),
                    spacing_mm=tuple(float(value) for value in spacing),
                    orientation=orientation,
                    label_voxels={},
                )
                for index in range(cases)
            ),
            intensities=(flat,) * channels,
            median_relative_size_after_cropping=relative_size,
        )

    return make


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    """`make_dataset(channels=("MRI",), labels=("a", "b"))`."""

    def make(channels: Sequence[str] = ("MRI",), labels: Sequence[str] = ("a", "b")) -> Dataset:
        return Dataset(
            channel_names={str(index): name for index, name in enumerate(channels)},
            labels={"background": 0, **{name: index + 1 for index, name in enumerate(labels)}},
            numTraining=20,
            file_ending=".nii.gz",
        )

    return make
