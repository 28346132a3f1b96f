"""The ratchet on a clock of its own: a slower stage is caught, noise is measured again, records are kept."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from benchmarks import _ratchet_rows as rows
from benchmarks import _reference as plain
from benchmarks import ratchet
from benchmarks.ratchet import Limit, Pair, Reading, Verdict, cpu_seconds, judge, limits, line, measure, recorded

LIMIT = Limit(record=2.0, fall=0.25)


class Machine:
    """Its clock goes on only while something runs."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def clock(self) -> float:
        return self.now

    def pair(self, ours_s: Callable[[int], float], reference_s: float = 2.0) -> Pair:
        """A stage whose n-th call takes `ours_s(n)`, and its plain loop."""

        def ours() -> None:
            self.now += ours_s(self.calls)
            self.calls += 1

        def reference() -> None:
            self.now += reference_s

        return Pair(ours, reference)


def test_a_stage_as_fast_as_recorded_passes_at_once() -> None:
    machine = Machine()
    verdict = judge("row", machine.pair(lambda call: 1.0), LIMIT, clock=machine.clock)
    assert (verdict.has_fallen, verdict.again) == (False, False)
    assert verdict.reading is not None
    assert verdict.reading.ratio == 2.0
    assert machine.calls == 1 + ratchet.ROUNDS


@pytest.mark.parametrize(("slower", "falls"), [(1.3, False), (1.4, True)])
def test_a_slower_stage_is_caught_beyond_a_quarter(slower: float, falls: bool) -> None:
    machine = Machine()
    verdict = judge("row", machine.pair(lambda call: slower), LIMIT, clock=machine.clock)
    assert verdict.has_fallen is falls
    assert verdict.again is falls, "only a row that seems to have fallen is measured twice"


def test_a_slower_machine_is_no_slower_stage() -> None:
    machine = Machine()
    assert not judge("row", machine.pair(lambda call: 9.0, 18.0), LIMIT, clock=machine.clock).has_fallen


def test_some_disturbed_rounds_change_nothing() -> None:
    machine = Machine()
    found = measure(machine.pair(lambda call: 5.0 if call % 3 == 0 else 1.0), clock=machine.clock)
    assert found.ratio == 2.0


def test_a_disturbed_row_is_measured_again() -> None:
    machine = Machine()
    verdict = judge(
        "row", machine.pair(lambda call: 5.0 if call <= ratchet.ROUNDS else 1.0), LIMIT, clock=machine.clock
    )
    assert (verdict.has_fallen, verdict.again) == (False, True)
    assert "measured twice" in line(verdict)


def test_short_calls_are_repeated_within_a_turn() -> None:
    machine = Machine()
    found = measure(machine.pair(lambda call: ratchet.TURN_S / 10, ratchet.TURN_S / 5), clock=machine.clock)
    assert machine.calls == pytest.approx(1 + 10 * ratchet.ROUNDS, abs=ratchet.ROUNDS)
    assert found.ours_s == pytest.approx(ratchet.TURN_S / 10), "of one call"


def test_an_unknown_machine_gets_the_least_record_and_more_room() -> None:
    document = {"machines": {"a": {"ratios": {"x": 3.0, "y": 1.0}}, "b": {"ratios": {"x": 2.0}}}}
    assert limits(document, "a") == {"x": Limit(3.0, 0.25), "y": Limit(1.0, 0.25)}
    assert limits(document, "c") == {"x": Limit(2.0, 0.5), "y": Limit(1.0, 0.5)}
    assert Limit(2.0, 0.5).least == 1.0


def test_a_record_keeps_other_rows_and_machines() -> None:
    document = {"machines": {"a": {"ratios": {"x": 3.0, "y": 1.0}}, "b": {"ratios": {"x": 2.0}}}}
    found = recorded(document, "a", {"x": Reading((4.0, 5.0, 9.0), 1.0, 5.0)})
    assert found["machines"]["a"]["ratios"] == {"x": 5.0, "y": 1.0}
    assert found["machines"]["b"] == {"ratios": {"x": 2.0}}
    assert "torch" in found["machines"]["a"]["versions"]


@pytest.mark.parametrize(
    ("ratio", "limit", "words"),
    [
        (2.0, LIMIT, "ok"),
        (1.4, LIMIT, "FALLEN by 30%, 25% are allowed"),
        (2.8, LIMIT, "better: run with --record"),
        (2.0, None, "not recorded: run with --record"),
    ],
)
def test_the_table_says_what_to_do(ratio: float, limit: Limit | None, words: str) -> None:
    assert words in line(Verdict("row", Reading((ratio,), 1.0, ratio), limit))


def test_a_row_that_a_machine_cannot_run_does_not_fail() -> None:
    verdict = judge("row", None, LIMIT)
    assert not verdict.has_fallen
    assert "not on this machine" in line(verdict)


def test_cpu_time_counts_children_and_no_waiting() -> None:
    began = cpu_seconds()
    time.sleep(0.3)
    waited = cpu_seconds()
    subprocess.run([sys.executable, "-Sc", "import time\nwhile time.process_time() < 0.2: pass"], check=True)
    assert waited - began < 0.2
    assert cpu_seconds() - waited >= 0.2


@pytest.fixture
def two_rows(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A made-up set of rows: `same` at ratio 2 and `slow` at 1, and no row for a missing instruction."""
    machine = Machine()
    makers = {
        "same": lambda folder: machine.pair(lambda call: 1.0),
        "slow": lambda folder: machine.pair(lambda call: 2.0),
        "absent": lambda folder: None,
    }
    module = SimpleNamespace(ROWS=makers, one_thread=lambda: None)
    monkeypatch.setitem(sys.modules, "benchmarks._ratchet_rows", module)
    monkeypatch.setattr(ratchet.time, "process_time", machine.clock)
    for name in ratchet.THREADS:
        monkeypatch.setenv(name, "1")
    return machine


def test_the_command_fails_with_the_names_of_fallen_rows(two_rows: Machine, tmp_path: Path, capsys) -> None:
    file = tmp_path / "ratchet.json"
    kind = {"ratios": {"same": 2.0, "slow": 2.0, "absent": 1.0}}
    file.write_text(json.dumps({"machines": {ratchet.machine_kind(): kind}}))
    assert ratchet.main(["--file", str(file)]) == 1
    shown = capsys.readouterr()
    assert shown.err.strip().endswith(": slow")
    assert "FALLEN by 50%" in shown.out
    assert ratchet.main(["--file", str(file), "--only", "same", "absent"]) == 0


def test_the_command_records_and_then_passes(two_rows: Machine, tmp_path: Path, capsys) -> None:
    file = tmp_path / "ratchet.json"
    assert ratchet.main(["--file", str(file)]) == 0, "nothing is known, so nothing has fallen"
    assert "no record of its own" in capsys.readouterr().out
    assert ratchet.main(["--file", str(file), "--record"]) == 0
    assert json.loads(file.read_text())["machines"][ratchet.machine_kind()]["ratios"] == {"same": 2.0, "slow": 1.0}
    assert ratchet.main(["--file", str(file)]) == 0


def test_every_row_is_recorded() -> None:
    machines = json.loads(ratchet.RECORD.read_text())["machines"]
    for kind, machine in machines.items():
        half = () if kind.endswith("bfloat16") else ("train, bfloat16",)
        assert {*machine["ratios"], *half} == set(rows.ROWS), kind


def test_the_plain_loops_do_the_same_work() -> None:
    image, labels = rows._case(0, (16, 40, 40))
    choices, target = rows._preprocessing(rows.TARGET_MM), rows.TARGET_MM
    space = LabelSpace.parse(rows.LABELS)
    ours, own, _, places = rows.preprocess_case(image, Geometry(labels.shape, rows.SPACING_MM), labels, choices, space)
    other, theirs, found = plain.preprocess(image, labels, spacing_mm=rows.SPACING_MM, target_mm=target)
    np.testing.assert_allclose(ours, other, atol=1e-5)
    assert (np.maximum(own, 0) == theirs).mean() > 0.999, "ours marks what lies outside of the body"
    assert len(places) == len(found) == 2


@pytest.mark.parametrize("row", ["predict", "export"])
def test_rows_and_plain_loops_agree(row: str, tmp_path: Path) -> None:
    pair = rows.ROWS[row](tmp_path)
    assert pair is not None
    ours, other = np.asarray(pair.ours()), np.asarray(pair.reference())
    assert ours.shape == other.shape
    assert np.isclose(ours, other, atol=1e-2).mean() > 0.999


@pytest.mark.parametrize("row", ["load", "augment", "train, float32", "train, bfloat16", "surface metrics"])
def test_rows_run(row: str, tmp_path: Path) -> None:
    pair = rows.ROWS[row](tmp_path)
    if pair is None:
        assert not rows.cpu_prefers_bfloat16()
        return
    for call in (pair.ours, pair.reference):
        found = call()
        assert not isinstance(found, float) or np.isfinite(found)


def test_the_plain_network_has_the_size_of_ours(tmp_path: Path) -> None:
    parts = rows._training(tmp_path, ("case_0",), "float32")
    network = plain.PlainUNet(rows.FEATURES, channels=1, heads=3)
    ours, other = (sum(p.numel() for p in each.parameters()) for each in (parts.state.network, network))
    assert ours == other
    assert len(network(torch.zeros(1, 1, 8, 8, 8))) == len(rows.FEATURES) - 1
