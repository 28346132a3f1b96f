"""Cases in order, bad ones named, and trouble that is no case's fault stops everything."""

from __future__ import annotations

import threading

import pytest

from autoseg.core.errors import AutosegError, DatasetError, StorageError
from autoseg.inference.conveyor import run_conveyor


@pytest.mark.parametrize("ahead", [0, 1, 3])
@pytest.mark.parametrize("stage", ["prepare", "compute", "finish"])
def test_a_bad_case_is_named_and_the_rest_goes_on(stage: str, ahead: int) -> None:
    done: list[int] = []

    def step(name: str, value: int) -> int:
        if name == stage and value == 2:
            raise DatasetError("bad", case_id="2")
        return value

    finished = list(
        run_conveyor(
            range(6),
            prepare=lambda item: step("prepare", item),
            compute=lambda value: step("compute", value),
            finish=lambda item, value: done.append(step("finish", value)),
            ahead=ahead,
        )
    )
    assert [each.item for each in finished] == list(range(6))
    assert [each.item for each in finished if each.error] == [2]
    assert sorted(done) == [0, 1, 3, 4, 5]


def test_a_full_disk_stops_everything() -> None:
    def full(item: int, value: int) -> None:
        raise AutosegError("cannot write", "free some space")

    with pytest.raises(AutosegError, match="cannot write: free some space"):
        list(run_conveyor(range(50), prepare=abs, compute=abs, finish=full))


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        list(run_conveyor([0], prepare=lambda item: 1 // item, compute=abs, finish=lambda item, value: None))


@pytest.mark.parametrize("error", [AutosegError("no device"), StorageError("the disk is full")])
def test_what_every_case_would_meet_stops_all(error: AutosegError) -> None:
    written: list[int] = []

    def finish(item: int, value: int) -> None:
        if item == 1:
            raise error
        written.append(item)

    with pytest.raises(type(error), match=error.problem):
        list(run_conveyor(range(9), prepare=lambda item: item, compute=lambda item: item, finish=finish))
    assert 8 not in written


def test_the_next_case_is_read_while_one_computes() -> None:
    second_was_read = threading.Event()

    def prepare(item: int) -> int:
        if item == 1:
            second_was_read.set()
        return item

    def compute(value: int) -> int:
        assert second_was_read.wait(timeout=10)
        return value

    assert len(list(run_conveyor(range(2), prepare=prepare, compute=compute, finish=lambda item, value: None))) == 2


def test_few_cases_are_read_ahead() -> None:
    read: list[int] = []
    computed: list[int] = []

    def compute(value: int) -> int:
        computed.append(value)
        assert len(read) <= len(computed) + 2
        return value

    def prepare(item: int) -> int:
        read.append(item)
        return item

    list(run_conveyor(range(20), prepare=prepare, compute=compute, finish=lambda item, value: None, ahead=2))
    assert read == list(range(20))


def test_nothing_ahead_is_one_step_of_one_case_after_the_other() -> None:
    story: list[str] = []

    def note(step: str, item: str) -> str:
        story.append(f"{step} {item}")
        return item

    for each in run_conveyor(
        "ab",
        prepare=lambda item: note("read", item),
        compute=lambda item: note("compute", item),
        finish=lambda item, _: story.append(f"write {item}"),
        ahead=0,
    ):
        story.append(f"told {each.item}")
    assert story == [f"{step} {item}" for item in "ab" for step in ("read", "compute", "write", "told")]
