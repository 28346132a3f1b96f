"""Choosing, skipping and writing groups of rows; environments; nothing is timed here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import run
from benchmarks._bench import Bench, Group, NotHereError
from benchmarks._data import (
    CT,
    HIPPOCAMPUS,
    SetUpError,
    copy_case,
    ensure_raw,
    our_lines,
    peer_lines,
    prepare_peer,
    required,
    respace,
)
from benchmarks._environment import PEER, peer_environment, torch_requirements
from benchmarks._figures import WHOLE_TREE, alternate, resources
from benchmarks._machine import Rates
from benchmarks._measure import Measurement
from benchmarks._results import Limit, Results, Row, Side
from benchmarks.main_job import MAIN_JOB, arguments

HEAD = {"cpu_model": "Example CPU", "cores": 2, "memory_gib": 16}
VERSIONS = {"autoseg": "1"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(Path("peer"), tmp_path, tmp_path / "work", False, None, 1 << 40, 2)
    bench.__dict__["versions"] = VERSIONS  # as if both interpreters had been asked
    return bench


def group(name: str, calls: list[str], error: Exception | None = None) -> Group:
    def make(_bench: Bench) -> list[Row]:
        calls.append(name)
        if error is not None:
            raise error
        return [Row(name, "s", Side((1.0,)), Side((2.0,)), "c", VERSIONS, 0.1)]

    return Group(name, "what", make)


def test_a_stopped_run_goes_on_where_it_was(bench: Bench, tmp_path: Path) -> None:
    calls: list[str] = []
    place = tmp_path / "m.json"
    assert run.measure_groups(bench, [group("a", calls)], Results(place, HEAD, "1"), again=False) == 0
    both = [group("a", calls), group("b", calls)]
    run.measure_groups(bench, both, Results(place, HEAD, "1"), again=False)
    assert calls == ["a", "b"]
    run.measure_groups(bench, both, Results(place, HEAD, "1"), again=True)
    assert calls == ["a", "b", "a", "b"]
    run.measure_groups(bench, both, Results(place, HEAD, "2"), again=False)
    assert calls == ["a", "b", "a", "b", "a", "b"]


def test_what_cannot_be_measured_stops_nothing(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []
    groups = [group("gpu", calls, NotHereError("no GPU")), group("bad", calls, SetUpError("broken")), group("c", calls)]
    results = Results(tmp_path / "m.json", HEAD, "1")
    assert run.measure_groups(bench, groups, results, again=False) == 1
    told = capsys.readouterr()
    assert "gpu: left out, no GPU" in told.out
    assert "bad: not measured, broken" in told.err
    assert results.holds("c")
    assert json.loads((tmp_path / "m.json").read_text())["left_out"] == {"gpu": "no GPU"}


def test_every_group_is_found_and_described() -> None:
    groups = run.find_groups()
    assert {"help", "prepare", "prepare_ct", "prepare_brain", "export", "distances", "gpu_liver"} <= set(groups)
    assert all(group.what.endswith(".") for group in groups.values())
    assert next(iter(groups)) == "help"
    assert set(MAIN_JOB) <= set(groups)


def test_options_need_data_and_known_rows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOSEG_TEST_DATA", raising=False)
    for given, message in (([], "give --data"), (["--only", "nonsense"], "invalid choice: 'nonsense'")):
        with pytest.raises(SystemExit):
            run.main(given)
        assert message in capsys.readouterr().err
    assert run.main(["--list"]) == 0
    assert "distances" in capsys.readouterr().out


def test_the_main_job_is_a_choice_of_rows() -> None:
    assert arguments(["--quick"]) == ["--quick", "--only", *MAIN_JOB]
    assert arguments(["--only", "help"]) == ["--only", "help"]


def test_torch_is_as_near_ours_as_resolves() -> None:
    wheels = ["--extra-index-url", "https://download.pytorch.org/whl/cpu", "--retries", "0", "--timeout", "15"]
    assert torch_requirements("2.13.0+cpu") == [
        ["torch==2.13.0+cpu"],
        ["torch==2.13.0+cpu", *wheels],
        ["torch==2.13.0"],
        ["torch"],
    ]
    assert torch_requirements("2.13.0") == [["torch==2.13.0"], ["torch"]]


def test_an_environment_is_made_once_and_the_nearest_torch_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    class Done:
        stderr = "resolving\nno such build"

        def __init__(self, code: int) -> None:
            self.returncode = code

    def fake(command: list[str], **_: object) -> Done:
        commands.append(command)
        (tmp_path / "e").mkdir(exist_ok=True)
        return Done(int("torch==2.0+cpu" in command or "torch==3.0" in command or command[-1] == "torch"))

    monkeypatch.setattr("benchmarks._environment.subprocess.run", fake)
    assert peer_environment(tmp_path / "e", "2.0+cpu") == tmp_path / "e" / "bin" / "python"
    tried = [" ".join(command[5:7]) for command in commands[1:]]
    build = "torch==2.0+cpu"
    assert tried == [build, f"{build} --extra-index-url", "torch==2.0", f"{PEER} torch==2.0"]
    peer_environment(tmp_path / "e", "2.0+cpu")
    assert len(commands) == 5
    with pytest.raises(SystemExit, match=r"no environment with nnunetv2.*resolving . no such build"):
        peer_environment(tmp_path / "f", "3.0")


def test_limits_are_work_over_rates() -> None:
    rates = Rates("cpu", float32=100e9, bfloat16=400e9, copy=20e9)
    assert rates.compute(50e9, "float32").value == 0.5
    assert rates.compute(50e9, "bfloat16").value == 0.125
    assert rates.move(10e9).value == 0.5
    assert "100 GFLOP/s in float32 and 400 in bfloat16" in rates.describe()


def test_runs_alternate_and_a_failed_side_is_not_repeated(bench: Bench) -> None:
    order: list[str] = []

    def side(name: str, failure: str | None = None) -> Measurement:
        order.append(name)
        return Measurement(1.0, 2.0, 3 << 20, 4 << 20, failure)

    ours, peer, _ = alternate(bench, lambda: side("A"), lambda: side("B", "no"))
    assert (order, len(ours), len(peer)) == (["A", "B", "A"], 2, 1)
    order.clear()
    alternate(bench, lambda: side("A"), lambda: side("B"))
    assert order == ["A", "B", "A", "B"]
    order.clear()
    alternate(bench, lambda: side("A"), lambda: side("B"), peer_rounds=1)
    assert order == ["A", "B", "A"]


def test_resources_carry_their_bars_and_limits(bench: Bench) -> None:
    ours, peer = Measurement(1.0, 2.0, 3 << 20), Measurement(10.0, 20.0, 12 << 20)
    rows = resources(
        bench,
        "x",
        [ours],
        [peer],
        command="c",
        load=0.0,
        kinds=WHOLE_TREE,
        bars={"wall": 5.0},
        limits={"wall": Limit(0.1, "l")},
    )
    assert [(row.name, row.ratio, row.bar) for row in rows] == [
        ("x, wall", 10.0, 5.0),
        ("x, CPU", 10.0, None),
        ("x, memory of all processes", 4.0, None),
    ]
    assert [row.limit is not None for row in rows] == [True, False, False]


def test_copies_of_the_one_case(tmp_path: Path) -> None:
    for kind, name in (("imagesTr", "case_17_0000.nii.gz"), ("labelsTr", "case_17.nii.gz")):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / name).write_bytes(b"x")
    (tmp_path / "dataset.json").write_text(json.dumps({"numTraining": 1, "provenance": {"case_17": {}}, "labels": {}}))
    copy_case(tmp_path, 3)
    cases = ["case_17", "case_17_copy1", "case_17_copy2"]
    assert sorted(path.name for path in (tmp_path / "labelsTr").iterdir()) == [f"{case}.nii.gz" for case in cases]
    assert {path.name for path in (tmp_path / "imagesTr").iterdir()} == {f"{case}_0000.nii.gz" for case in cases}
    assert json.loads((tmp_path / "dataset.json").read_text()) == {"numTraining": 3, "labels": {}}


def test_the_peers_plan_gets_another_spacing(tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    path.write_text(json.dumps({"configurations": {"3d_fullres": {"spacing": [1.6, 0.7, 0.7], "batch_size": 2}}}))
    respace(path, (1.0, 1.0, 1.0))
    assert json.loads(path.read_text())["configurations"]["3d_fullres"] == {"spacing": [1, 1, 1], "batch_size": 2}


def test_both_prepare_the_same_with_a_process_per_core(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks._bench.os.cpu_count", lambda: 2)
    fingerprint, plan, preprocess = our_lines(bench, CT)
    assert fingerprint == ("fingerprint", "-d", "17", "--workers", "2")
    assert plan[-1] == "plan.overrides.3d_fullres.spacing_mm=[1.0, 1.0, 1.0]"
    assert preprocess == ("preprocess", *plan[1:], "--workers", "2")
    assert peer_lines(bench, CT)[2] == ("preprocess", "-d", "17", "-c", "3d_fullres", "-np", "2")
    assert peer_lines(bench, HIPPOCAMPUS)[2][3:] == ("-c", "2d", "3d_fullres", "-np", "2", "2")


def test_the_peers_plan_is_changed_before_it_preprocesses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = bench.preprocessed / CT.dataset / "nnUNetPlans.json"
    seen: list[list[float]] = []

    def run_peer(_bench: Bench, verb: str, *_arguments: str, by_shares: bool = False) -> Measurement:
        if verb == "plan_experiment":
            plans.parent.mkdir(parents=True)
            plans.write_text(json.dumps({"configurations": {"3d_fullres": {"spacing": [1.6, 0.7, 0.7]}}}))
        elif verb == "preprocess":
            seen.append(json.loads(plans.read_text())["configurations"]["3d_fullres"]["spacing"])
        return Measurement(1.0, 1.0, 1)

    monkeypatch.setattr(Bench, "nnunet", run_peer)
    assert len(prepare_peer(bench, CT)) == 3
    assert seen == [[1.0, 1.0, 1.0]]


def test_data_that_are_not_there_are_named(bench: Bench) -> None:
    with pytest.raises(NotHereError, match=r"there is no .*3Dircadb1"):
        ensure_raw(bench, CT)


def test_a_preparing_command_that_fails_is_said() -> None:
    with pytest.raises(SetUpError, match="exit code 2: no such folder"):
        required(Measurement(1.0, 1.0, 1, failure="exit code 2: no such folder"))
