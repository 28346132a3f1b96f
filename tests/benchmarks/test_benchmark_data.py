"""Raw data of the rows: what a converter made must be what the rows name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks._bench import Bench, NotHereError
from benchmarks._data import BRAIN, SetUpError, ensure_raw
from benchmarks._measure import Measurement


class Converter(Bench):
    """Makes an empty data set of another name instead of converting."""

    def autoseg(self, *arguments: str | Path, by_shares: bool = False) -> Measurement:
        (self.workspace / "raw" / "Dataset005_Other").mkdir(parents=True)
        return Measurement(seconds=1.0, cpu_seconds=1.0, peak_bytes=1, largest_bytes=1)


def bench(folder: Path) -> Bench:
    paths = {"peer": Path("/none/python"), "data": folder, "work": folder, "model": None}
    return Converter(**paths, quick=True, limit_bytes=2**30, rounds=1)


def test_a_data_set_of_another_name_is_told(tmp_path: Path) -> None:
    (tmp_path / BRAIN.folder).mkdir()
    with pytest.raises(SetUpError, match="'brats' made Dataset005_Other, not Dataset005_BraTS2015"):
        ensure_raw(bench(tmp_path), BRAIN)


def test_originals_that_are_not_there_leave_the_rows_out(tmp_path: Path) -> None:
    with pytest.raises(NotHereError, match=r"there is no .*nowhere"):
        ensure_raw(bench(tmp_path), replace(BRAIN, folder="nowhere"))
