"""The arithmetic of the comparison of one process with several."""

from __future__ import annotations

import pytest

from benchmarks.ddp import BARS, EARLY, WARM_UP, largest_difference, markdown, row_of

UPDATES = 20


def runs(*, early: float = 0.0, late: float = 0.0, threads: float = 0.0, exact: float = 0.0) -> dict[str, dict]:
    losses = [1.0 - 0.01 * update for update in range(UPDATES)]
    moved = [loss + (early if update < EARLY else late) for update, loss in enumerate(losses)]
    seconds = [9.0] * WARM_UP
    return {
        "one": {"losses": losses, "seconds": [*seconds, *[0.4] * 3, 5.0], "batch": 4, "cpu_seconds": 0.5},
        "threads": {
            "losses": [loss + threads for loss in losses],
            "seconds": [*seconds, 0.3],
            "batch": 4,
            "cpu_seconds": 0.5,
        },
        "several": {"losses": moved, "seconds": [*seconds, 0.2], "batch": 4, "cpu_seconds": 0.5},
        "one exact": {"losses": losses[:EARLY]},
        "several exact": {"losses": [loss + exact for loss in losses[:EARLY]]},
    }


def test_the_bars_hold_early_and_late() -> None:
    assert row_of("sgd", runs())["kept"]
    assert row_of("sgd", runs(early=0.9 * BARS["early"], late=-0.9 * BARS["all"]))["kept"]
    assert not row_of("sgd", runs(early=1.1 * BARS["early"]))["kept"]
    assert not row_of("sgd", runs(late=-1.1 * BARS["all"]))["kept"]


def test_rounding_that_threads_show_too_is_judged_in_float64() -> None:
    beyond = 5 * BARS["early"]
    assert row_of("muon", runs(early=beyond))["kept"] == ""
    assert row_of("muon", runs(early=beyond, threads=beyond))["kept"] == "in float64"
    assert row_of("muon", runs(early=beyond, threads=beyond, exact=beyond))["kept"] == ""
    assert row_of("sgd", runs(threads=beyond, exact=beyond))["kept"] == "in float32"


def test_a_row_has_differences_and_medians_without_the_first_updates() -> None:
    row = row_of("muon", runs(early=1e-6, late=1e-4))
    assert row["differences"]["several"] == pytest.approx({"early": 1e-6, "all": 1e-4})
    assert row["differences"]["threads"] == {"early": 0.0, "all": 0.0}
    assert row["seconds"] == {"one": 0.4, "threads": 0.3, "several": 0.2}


def test_differences_count_in_both_directions() -> None:
    assert largest_difference([1.0, 2.0], [1.5, 1.0, 99.0]) == 1.0


def test_the_table_says_what_was_found() -> None:
    machine = {"cpu_model": "X", "cores": 2}
    rows = [row_of("adamw", runs(early=2e-6))]
    text = markdown({"machine": machine, "load": 0.5, "processes": 2, "updates": UPDATES, "rows": rows})
    losses = "| adamw | 4 | 1.000 to 0.810 | 2.0e-06 | 2.0e-06 | 0.0e+00 | 0.0e+00 | 0.0e+00 | in float32 |"
    assert f"{losses} 0.400 | 0.300 | 0.200 | 0.500 | 0.500 | 0.500 |" in text
