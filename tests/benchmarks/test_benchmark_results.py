"""Ratios, spreads and the two result files of the benchmarks; nothing is timed here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks._figures import side, summed, wall
from benchmarks._measure import Measurement, last_json_line
from benchmarks._results import Row, Side, machine_name, markdown, ratio, write_results

HEAD = {"cpu_model": "Example CPU", "cores": 2, "memory_gib": 16}


def row(name: str = "step", *, ours: Side, peer: Side, load: float = 0.1) -> Row:
    versions = {"autoseg": "1", "nnunetv2": "2"}
    return Row(name, "s", ours, peer, "a; b", versions, load, {"batch": 7}, date="2026-01-02T03:04:05Z")


def run(seconds: float, failure: str | None = None, **values: Any) -> Measurement:
    return Measurement(seconds, 2 * seconds, 3 << 20, failure=failure, values=values)


def test_ratio_is_peer_over_ours_so_that_above_one_we_need_less() -> None:
    assert ratio(2.0, 9.0) == 4.5
    assert row(ours=Side((3.0, 1.0, 2.0)), peer=Side((10.0, 30.0))).ratio == 10.0


@pytest.mark.parametrize(("ours", "peer"), [(None, 1.0), (1.0, None), (0.0, 1.0)])
def test_no_ratio_without_both_sides(ours: float | None, peer: float | None) -> None:
    assert ratio(ours, peer) is None


def test_side_keeps_values_of_runs_that_worked_and_the_first_failure() -> None:
    found = side([run(1.0), run(2.0, "exit code 1: no"), run(4.0, "later")], wall)
    assert found.values == (1.0,)
    assert found.failure == "exit code 1: no"
    assert [each["cpu_seconds"] for each in found.runs] == [2.0, 4.0, 8.0]


def test_summed_adds_times_and_takes_the_largest_peak() -> None:
    small = Measurement(1.0, 2.0, 5, 2)
    assert summed([small, Measurement(2.0, 3.0, 4, 3)]) == Measurement(3.0, 5.0, 5, 3)
    assert summed([small, Measurement(2.0, 3.0, 4, failure="no")]).failure == "no"


def test_table_shows_median_spread_ratio_and_failures() -> None:
    good = row(ours=Side((1.0, 3.0, 2.0)), peer=Side((8.0,)))
    bad = row("export", ours=Side((1.0,)), peer=Side(failure="stopped at the memory limit"))
    text = markdown({"machine": HEAD, "rows": [good.to_json(), bad.to_json()]})
    assert "| step | s | 2 (1 to 3) | 8 | 4.00 |" in text
    assert "| export | s | 1 | failed |  |" in text
    assert "- export, nnU-Net v2: stopped at the memory limit" in text
    assert "- step (2026-01-02): `a; b`; batch 7" in text
    assert "Versions: autoseg 1, nnunetv2 2." in text


def test_rows_measured_on_a_busy_machine_are_marked() -> None:
    values = {"ours": Side((1.0,)), "peer": Side((2.0,))}
    quiet, busy = (markdown({"machine": HEAD, "rows": [row(**values, load=load).to_json()]}) for load in (0.5, 2.0))
    assert "other programs were working" not in quiet
    assert "| step * |" in busy
    assert "other programs were working" in busy


def test_measuring_some_rows_again_keeps_the_others(tmp_path: Path) -> None:
    first, second = row("help", ours=Side((1.0,)), peer=Side((5.0,))), row(ours=Side((1.0,)), peer=Side((2.0,)))
    write_results(tmp_path, "m", [first, second], head=HEAD)
    table = write_results(tmp_path, "m", [row(ours=Side((1.0,)), peer=Side((3.0,)))], head=HEAD)
    rows = json.loads((tmp_path / "m.json").read_text())["rows"]
    assert [(each["name"], each["ratio"]) for each in rows] == [("help", 5.0), ("step", 3.0)]
    assert rows[0]["spread"] == {"ours": [1.0, 1.0], "peer": [5.0, 5.0]}
    assert table.read_text().count("| help |") == 1


def test_machine_name_is_a_file_name() -> None:
    assert machine_name(8, "Intel(R) Xeon(R) CPU @ 2.20GHz") == "8-cores-intel-xeon-cpu-2-20ghz"


def test_last_json_line_skips_what_a_program_prints_around_it() -> None:
    assert last_json_line('Using device: cpu\n{"seconds": [1]}\nTraining done.\n{broken') == {"seconds": [1]}
    assert last_json_line("nothing") == {}
