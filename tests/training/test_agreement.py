"""Go on, extend, start or refuse: what a run's folder says against what is asked for. No torch."""

import logging

import pytest
from tiny import method, tiny_run

from autoseg.core.errors import CheckpointError, SpecError
from autoseg.specs.run import Run, Schedule
from autoseg.training.agreement import FINAL, RUN, agree, settings_digest


def schedule(epochs, iterations=2):
    return Schedule(epochs=epochs, iterations_per_epoch=iterations, validation_iterations=1)


def ask(folder, draft, wanted, *, replan=False):
    return agree(folder, draft, lambda _: wanted, replan=replan)


def test_a_new_run_is_noted(tmp_path):
    folder = tmp_path / "fold_0"
    final = ask(folder, tiny_run(), schedule(3))
    assert final.schedule.epochs == 3
    assert Run.load(folder / RUN) == final


def test_the_schedule_on_disk_is_offered(tmp_path):
    offered = []

    def choose(found):
        offered.append(found)
        return schedule(2)

    for _ in range(2):
        agree(tmp_path, tiny_run(), choose, replan=False)
    assert offered == [None, schedule(2)]


def test_an_unfinished_run_goes_on_with_its_own_length(tmp_path):
    ask(tmp_path, tiny_run(), schedule(5))
    assert ask(tmp_path, tiny_run(), schedule(3)).schedule.epochs == 5


def test_a_finished_run_is_complete_or_extended(tmp_path, caplog):
    caplog.set_level(logging.INFO, "autoseg")
    ask(tmp_path, tiny_run(), schedule(2))
    (tmp_path / FINAL).write_bytes(b"weights")
    assert ask(tmp_path, tiny_run(), schedule(2)) is None
    assert ask(tmp_path, tiny_run(), schedule(4)).schedule.epochs == 4
    assert not (tmp_path / FINAL).exists()
    assert Run.load(tmp_path / RUN).schedule.epochs == 4
    assert "extending 2 epochs to 4" in caplog.text


def test_epochs_keep_their_length(tmp_path):
    ask(tmp_path, tiny_run(), schedule(2))
    with pytest.raises(CheckpointError, match="has epochs of 2 updates: extend it with --iterations-per-epoch 2"):
        ask(tmp_path, tiny_run(), schedule(2, iterations=3))
    assert Run.load(tmp_path / RUN).schedule == schedule(2)


def test_other_settings_are_refused_by_name(tmp_path):
    ask(tmp_path, tiny_run(), schedule(2))
    with pytest.raises(CheckpointError, match="holds a run with another seed, method: use the same settings"):
        ask(tmp_path, tiny_run(method(name="sgd"), seed=1), schedule(2))


def test_replan_replaces_only_other_settings(tmp_path):
    folder = tmp_path / "fold_0"
    ask(folder, tiny_run(), schedule(2))
    (folder / FINAL).write_bytes(b"weights")
    assert ask(folder, tiny_run(), schedule(2), replan=True) is None
    assert ask(folder, tiny_run(seed=1), schedule(1), replan=True).seed == 1
    assert [path.name for path in folder.iterdir()] == [RUN]


def test_a_damaged_record_is_an_error_or_replaced(tmp_path):
    folder = tmp_path / "fold_0"
    folder.mkdir()
    (folder / RUN).write_text("{")
    with pytest.raises(SpecError, match=r"run\.json is not valid JSON"):
        ask(folder, tiny_run(), schedule(1))
    assert ask(folder, tiny_run(), schedule(1), replan=True) is not None


def test_the_digest_ignores_what_may_change():
    run = tiny_run()
    free = run.model_copy(update={"device": "cuda", "schedule": schedule(9), "versions": {"torch": "9"}})
    assert settings_digest(free) == settings_digest(run)
    assert settings_digest(run.model_copy(update={"precision": "bfloat16"})) != settings_digest(run)
