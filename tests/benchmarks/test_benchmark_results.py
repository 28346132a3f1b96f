"""Ratios, spreads and the two result files of the benchmarks; nothing is timed here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks._figures import side, summed, wall
from benchmarks._measure import Measurement, last_json_line
from benchmarks._results import Check, Limit, Results, Row, Side, machine_name, ratio
from benchmarks._table import markdown

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
    assert "| step | s | 2 (1 to 3) | 8 | 4.00 |  |  |" in text
    assert "| export | s | 1 | failed |  |  |  |" in text
    assert "- export, nnU-Net v2: stopped at the memory limit" in text
    assert "- step (2026-01-02): `a; b`; batch 7" in text
    assert "Versions: autoseg 1, nnunetv2 2." in text


def test_rows_measured_on_a_busy_machine_are_marked() -> None:
    values = {"ours": Side((1.0,)), "peer": Side((2.0,))}
    quiet, busy = (markdown({"machine": HEAD, "rows": [row(**values, load=load).to_json()]}) for load in (0.5, 2.0))
    assert "other programs were working" not in quiet
    assert "| step * |" in busy
    assert "other programs were working" in busy


def results(tmp_path: Path, run_name: str = "a") -> Results:
    return Results(tmp_path / "m.json", HEAD, run_name)


def test_measuring_a_group_again_keeps_the_others_and_its_place(tmp_path: Path) -> None:
    found = results(tmp_path)
    one, two = Side((1.0,)), Side((2.0,))
    found.add("help", [row("help", ours=one, peer=two), row("help: plan", ours=one, peer=two)])
    found.add("step", [row(ours=one, peer=two)])
    again = results(tmp_path)
    again.add("help", [row("help", ours=one, peer=Side((5.0,)))])
    rows = json.loads((tmp_path / "m.json").read_text())["rows"]
    assert [(each["name"], each["group"], each["ratio"]) for each in rows] == [("help", "help", 5), ("step", "step", 2)]
    assert rows[0]["spread"] == {"ours": [1.0, 1.0], "peer": [5.0, 5.0]}
    assert again.table.read_text().count("| help |") == 1


def test_a_run_knows_what_it_measured_and_no_more(tmp_path: Path) -> None:
    results(tmp_path).add("step", [row(ours=Side((1.0,)), peer=Side((2.0,)))])
    assert results(tmp_path).holds("step")
    assert not results(tmp_path).holds("help")
    assert not results(tmp_path, "b").holds("step")


def test_what_was_left_out_is_said_until_it_is_measured(tmp_path: Path) -> None:
    found = results(tmp_path)
    found.skip("gpu", "there is no GPU")
    assert "- gpu: there is no GPU" in found.table.read_text()
    results(tmp_path).add("gpu", [row("gpu", ours=Side((1.0,)), peer=Side((2.0,)))])
    assert "there is no GPU" not in found.table.read_text()
    results(tmp_path, "b").skip("gpu", "there is no GPU")
    assert "there is no GPU" not in found.table.read_text(), "the older figures are kept"


def test_bars_limits_and_checks_are_in_the_table() -> None:
    bar = replace(row(ours=Side((2.0,)), peer=Side((8.0,))), bar=5.0, limit=Limit(0.5, "1 GFLOP at 2 GFLOP/s"))
    checks = (Check("Dice", 0.9, least=0.99), Check("difference", 1e-4, most=1e-3))
    good = replace(row("kept", ours=Side((1.0,)), peer=Side((8.0,))), bar=5.0, checks=checks)
    text = markdown({"machine": HEAD | {"rates": "fast"}, "rows": [bar.to_json(), good.to_json()]})
    assert "| step | s | 2 | 8 | 4.00 | 5 (missed) | 0.5 (25%) |" in text
    assert "| kept | s | 1 | 8 | 8.00 | 5 |  |" in text
    assert "limit: 1 GFLOP at 2 GFLOP/s" in text
    assert "- kept: Dice 0.9 (asked for: least 0.99), MISSED" in text
    assert "- kept: difference 0.0001 (asked for: most 0.001)\n" in text
    assert "The machine at its best: fast." in text


@pytest.mark.parametrize(("value", "kept"), [(0.98, False), (0.99, True), (1.0, True), (1.01, False)])
def test_a_check_includes_its_bounds(value: float, kept: bool) -> None:
    assert Check("x", value, least=0.99, most=1.0).kept is kept


def test_machine_name_is_a_file_name() -> None:
    assert machine_name(8, "Intel(R) Xeon(R) CPU @ 2.20GHz") == "8-cores-intel-xeon-cpu-2-20ghz"


def test_last_json_line_skips_what_a_program_prints_around_it() -> None:
    assert last_json_line('Using device: cpu\n{"seconds": [1]}\nTraining done.\n{broken') == {"seconds": [1]}
    assert last_json_line("nothing") == {}
