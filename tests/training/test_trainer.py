"""The loop: what it writes, how it goes on, when it gives up."""

import json
import signal
import threading
import time

import pytest
import torch
from tiny import Silent, method, tiny_parts, tiny_run

from autoseg.core.errors import AutosegError, Interrupted
from autoseg.io.weights import load_weights
from autoseg.specs.method import PlateauChoices
from autoseg.training import trainer
from autoseg.training.interrupts import StopRequest
from autoseg.training.trainer import BEST, CHECKPOINT, FINAL, LOG, Trainer, gradient_step


def train(folder, run, *, stop_after=None, parts=None):
    observer = Silent()
    loop = Trainer(run, folder, parts or tiny_parts(run), observer)
    if stop_after is not None:
        told = observer.updated

        def updated(update, total, loss):
            told(update, total, loss)
            if update == stop_after:
                signal.raise_signal(signal.SIGTERM)

        observer.updated = updated
    loop.fit()
    return observer


def log_of(folder):
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def test_a_run_leaves_log_checkpoint_and_weights(tmp_path):
    observer = train(tmp_path, tiny_run())
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, FINAL, BEST, LOG}
    log = log_of(tmp_path)
    assert [line["epoch"] for line in log] == [0, 1]
    assert [line["update"] for line in log] == [2, 4]
    assert log[0]["train_loss"] == pytest.approx(sum(observer.losses[:2]) / 2)
    assert set(log[0]["time"]) == {"seconds", "finished", "peak_memory_bytes"}
    assert set(log[0]["dice"]) == {"ball"}


def test_equal_runs_are_equal_and_other_seeds_are_not(tmp_path):
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        train(tmp_path / name, tiny_run(seed=seed))
    first = (tmp_path / "first" / FINAL).read_bytes()
    assert (tmp_path / "second" / FINAL).read_bytes() == first
    assert (tmp_path / "other" / FINAL).read_bytes() != first


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_every_optimiser_stops_and_goes_on_exactly(tmp_path, name, average):
    chosen = method(name=name, weight_average=average)
    for folder in ("unbroken", "stopped"):
        (tmp_path / folder).mkdir()
    train(tmp_path / "unbroken", tiny_run(chosen))
    with pytest.raises(Interrupted, match="stopped after update 3 of 4"):
        train(tmp_path / "stopped", tiny_run(chosen), stop_after=3)
    assert len(log_of(tmp_path / "stopped")) == 1
    train(tmp_path / "stopped", tiny_run(chosen))
    assert (tmp_path / "stopped" / FINAL).read_bytes() == (tmp_path / "unbroken" / FINAL).read_bytes()
    losses = [[line["train_loss"] for line in log_of(tmp_path / folder)] for folder in ("unbroken", "stopped")]
    assert losses[0] == losses[1]


def without_progress(**rules):
    """A method in which no score is progress after the first."""
    chosen = method(schedule="plateau", warmup_share=0.0)
    plateau = PlateauChoices(min_delta=0.9, patience=1, cooldown=0, **rules)
    return chosen.model_copy(update={"train": chosen.train.model_copy(update={"plateau": plateau})})


def test_the_plateau_schedule_stops_and_goes_on_exactly(tmp_path):
    run = tiny_run(without_progress(factor=0.25), epochs=4)
    for folder in ("unbroken", "stopped"):
        (tmp_path / folder).mkdir()
    train(tmp_path / "unbroken", run)
    for update in (2, 5):
        with pytest.raises(Interrupted):
            train(tmp_path / "stopped", run, stop_after=update)
    train(tmp_path / "stopped", run)
    assert (tmp_path / "stopped" / FINAL).read_bytes() == (tmp_path / "unbroken" / FINAL).read_bytes()
    rates = [[line["learning_rate"] for line in log_of(tmp_path / folder)] for folder in ("unbroken", "stopped")]
    assert rates[0] == rates[1] == [1e-2, 1e-2, 1e-2 / 4, 1e-2 / 16]


def test_a_run_without_progress_ends_early_and_stays_ended(tmp_path, caplog):
    run = tiny_run(without_progress(stop_after=2), epochs=9)
    with caplog.at_level("INFO"):
        train(tmp_path, run)
    assert "no progress for 2 epochs: ends after update 6" in caplog.text
    assert len(log_of(tmp_path)) == 3
    final = (tmp_path / FINAL).read_bytes()
    (tmp_path / FINAL).unlink()  # as after a kill before the last file
    assert train(tmp_path, run).losses == []
    assert (tmp_path / FINAL).read_bytes() == final


@pytest.mark.parametrize(("share", "between"), [(1e9, 8), (1e-4, 1)])
def test_slow_checkpoints_are_written_less_often(tmp_path, monkeypatch, share, between):
    times = []
    monkeypatch.setattr(trainer, "save_checkpoint", lambda *_, **__: times.append(time.sleep(0.02)))
    monkeypatch.setattr(trainer, "CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(trainer, "SAVING_SHARE", share)
    train(tmp_path, tiny_run(epochs=4))
    assert len(times) == between + 1, "and once at the end"


def test_the_log_is_cut_back_to_the_checkpoint(tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, tiny_run(), stop_after=1)
    (tmp_path / LOG).write_text(json.dumps({"update": 2}) + "\n" + '{"update": 4')
    observer = train(tmp_path, tiny_run())
    assert [line["update"] for line in log_of(tmp_path)] == [2, 4]
    assert len(observer.losses) == 3


def test_remains_of_a_killed_writer_are_removed(tmp_path):
    (tmp_path / ".partial-abc").mkdir()
    (tmp_path / ".partial-abc" / CHECKPOINT).write_bytes(b"half")
    train(tmp_path, tiny_run(epochs=1))
    assert not (tmp_path / ".partial-abc").exists()


def test_final_weights_are_the_average_and_training_goes_on_with_the_live_ones(tmp_path):
    run = tiny_run(method(weight_average=0.5))
    parts = tiny_parts(run)
    train(tmp_path, run, parts=parts)
    stored = load_weights(tmp_path / FINAL)
    live = dict(parts.state.network.named_parameters())
    for name, average in parts.state.average.tensors.items():
        assert torch.equal(stored[name], average)
    assert any(not torch.equal(stored[name], live[name].detach()) for name in live)


def test_a_loss_that_is_no_number_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "gradient_step", lambda *_, **__: float("nan"))
    with pytest.raises(AutosegError, match="the loss is nan at update 0: lower the rate"):
        train(tmp_path, tiny_run())


def test_half_precision_scales_its_gradients():
    run = tiny_run()
    parts = tiny_parts(run)
    batch = parts.train.batch(0)
    plain = gradient_step(parts, batch, clip=1.0)
    scaled = tiny_parts(run)
    scaled.state.scaler = torch.amp.GradScaler("cpu")
    assert gradient_step(scaled, batch, clip=1.0) == plain
    for mine, theirs in zip(parts.state.network.parameters(), scaled.state.network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("parts", [2, 5])
def test_parts_of_a_batch_make_the_same_step(parts):
    whole, split = tiny_parts(tiny_run()), tiny_parts(tiny_run())
    split.accumulate = parts
    batch = whole.train.batch(0)
    losses = [gradient_step(one, batch, clip=1.0) for one in (whole, split)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    pairs = zip(*(one.state.network.parameters() for one in (whole, split)), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-4)


def test_epochs_judge_parts_as_they_judge_whole_batches(tmp_path):
    logs = []
    for accumulate in (1, 2):
        chosen = method()
        chosen = chosen.model_copy(update={"train": chosen.train.model_copy(update={"accumulate": accumulate})})
        folder = tmp_path / str(accumulate)
        folder.mkdir()
        train(folder, tiny_run(chosen, epochs=1))
        logs.append(log_of(folder)[0])
    assert logs[0]["validation_loss"] == pytest.approx(logs[1]["validation_loss"], rel=1e-2)
    assert logs[0]["train_loss"] == pytest.approx(logs[1]["train_loss"], rel=1e-3)


def test_two_dimensional_runs_train(tmp_path):
    assert len(train(tmp_path, tiny_run(dimensions=2)).epochs) == 2


def test_the_second_ctrl_c_interrupts_at_once():
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.signal_number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_keep_the_handlers():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def inside():
        with StopRequest():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_time_budget_ends_the_run_whatever_was_estimated(tmp_path):
    run = tiny_run()
    schedule = run.schedule.model_copy(update={"epochs": 500, "time_budget_s": 0.5})
    train(tmp_path, run.model_copy(update={"schedule": schedule}))
    log = log_of(tmp_path)
    assert 1 <= len(log) < 500
    assert sum(line["time"]["seconds"] for line in log) < 5


def test_time_spent_before_an_interruption_counts(tmp_path):
    run = tiny_run()
    schedule = run.schedule.model_copy(update={"epochs": 500, "time_budget_s": 1000.0})
    run = run.model_copy(update={"schedule": schedule})
    with pytest.raises(Interrupted):
        train(tmp_path, run, stop_after=4)
    loop = Trainer(run, tmp_path, tiny_parts(run), Silent())
    loop._resume()
    assert loop.progress.elapsed_s >= sum(line["time"]["seconds"] for line in log_of(tmp_path)) - 0.01
    shorter = run.model_copy(update={"schedule": schedule.model_copy(update={"time_budget_s": 0.01})})
    train(tmp_path, shorter)
    assert len(log_of(tmp_path)) == 2


def test_cases_that_annotate_some_labels_train_and_go_on_exactly(tmp_path):
    run = tiny_run().model_copy(update={"labels": {"background": 0, "ball": 1, "cube": 2}})

    def parts():
        made = tiny_parts(run)
        for case in (made.train.cases[1], *made.validation.cases):
            case.annotated = ("ball",)
        return made

    for name, stops in (("whole", ()), ("broken", (3,))):
        (tmp_path / name).mkdir()
        for stop in stops:
            with pytest.raises(Interrupted):
                train(tmp_path / name, run, stop_after=stop, parts=parts())
        train(tmp_path / name, run, parts=parts())
    assert (tmp_path / "broken" / FINAL).read_bytes() == (tmp_path / "whole" / FINAL).read_bytes()
    assert {line["dice"]["cube"] for line in log_of(tmp_path / "whole")} == {None}  # held-out cases do not annotate it
    everything = tmp_path / "everything"
    everything.mkdir()
    train(everything, run)
    assert (everything / FINAL).read_bytes() != (tmp_path / "whole" / FINAL).read_bytes()
