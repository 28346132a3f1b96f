"""Cases run apart: an error or a dead worker costs one case, a bug stops everything."""

import os
import signal

import pytest

from autoseg.core import workers
from autoseg.core.errors import AutosegError, DatasetError
from autoseg.core.workers import default_workers, run_cases


def double(number):
    if number == 3:
        raise DatasetError("three is bad", case_id="3")
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def fail(number):
    raise ZeroDivisionError


def test_in_process_errors_belong_to_their_item():
    outcomes = {outcome.item: outcome for outcome in run_cases(double, [1, 2, 3], workers=1)}
    assert [outcomes[item].result for item in (1, 2)] == [2, 4]
    assert isinstance(outcomes[3].error, DatasetError)


def test_a_killed_worker_costs_exactly_its_item():
    outcomes = {outcome.item: outcome for outcome in run_cases(double, [1, 3, 5, 6, 7, 8], workers=2)}
    assert {item: outcome.result for item, outcome in outcomes.items() if outcome.error is None} == {
        1: 2,
        6: 12,
        7: 14,
        8: 16,
    }
    assert outcomes[3].error.case_id == "3"
    assert isinstance(outcomes[5].error, AutosegError)
    assert "worker process was killed" in str(outcomes[5].error)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bug_is_not_swallowed(workers):
    with pytest.raises(ZeroDivisionError):
        list(run_cases(fail, [1, 2], workers=workers))


def test_default_is_at_least_one():
    assert default_workers() >= 1


def threads(name):
    return os.environ.get(name)


def test_workers_share_the_cpus_and_the_user_has_the_last_word(monkeypatch):
    monkeypatch.setattr("autoseg.core.workers.default_workers", lambda: 6)
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
    found = {outcome.item: outcome.result for outcome in run_cases(threads, names, workers=2)}
    assert found == {"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3", "MKL_NUM_THREADS": "5"}
    assert "OMP_NUM_THREADS" not in os.environ


def test_processes_join_in_only_when_it_takes_long(monkeypatch):
    started = []
    original = workers.run_cases

    def watched(function, items, *, workers):
        started.append((len(items), workers))
        return original(function, items, workers=1)

    monkeypatch.setattr(workers, "run_cases", watched)
    quick = list(workers.run_cases_growing(abs, [-1, -2, -3], workers=4))
    assert [outcome.result for outcome in quick] == [1, 2, 3]
    assert started == [(3, 1)]
    started.clear()
    slow = list(workers.run_cases_growing(abs, [-1, -2, -3], workers=4, alone_s=-1.0))
    assert [outcome.result for outcome in slow] == [1, 2, 3]
    assert started == [(3, 1), (2, 4)]
    started.clear()
    assert len(list(workers.run_cases_growing(abs, [-1, -2, -3], workers=1, alone_s=-1.0))) == 3
    assert started == [(3, 1)]
