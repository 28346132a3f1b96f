"""Several processes train as one: the same losses, the same files, and they go on when one of them is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import SHARE_EPOCHS, Silent, share_run, tiny_parts, tiny_run
from torch import nn

from autoseg.core.errors import AutosegError, SpecError
from autoseg.io.weights import load_weights
from autoseg.specs.run import Run
from autoseg.training import distributed
from autoseg.training.distributed import ALONE, Share, join, leave
from autoseg.training.trainer import FINAL, LOG, Trainer

DRIVER = Path(__file__).with_name("share_driver.py")


def run_alone(run, folder):
    """Losses of the run by one process."""
    observer = Silent()
    run.save(folder / "run.json")
    Trainer(run, folder, tiny_parts(run), observer).fit()
    return observer.losses


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Losses and folder of the run by one process."""
    folder = tmp_path_factory.mktemp("alone")
    return run_alone(share_run(), folder), folder


def log_without_time(folder):
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Folder of the runs by two processes, the second of which is lost after three updates of the first run."""
    folder = tmp_path_factory.mktemp("together")
    done = subprocess.run(
        [sys.executable, DRIVER, folder],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_learn_what_one_learns(alone, together):
    losses, folder = alone
    shared = together / "lost"
    assert (together / "marker").exists()
    found = json.loads((shared / "losses.json").read_text())
    assert found == pytest.approx(losses[-len(found) :], abs=1e-5)
    assert 2 * SHARE_EPOCHS - 3 <= len(found) < 2 * SHARE_EPOCHS
    one, two = log_without_time(folder), log_without_time(shared)
    assert [line["update"] for line in two] == [line["update"] for line in one]
    for key in ("train_loss", "validation_loss"):
        assert [line[key] for line in two] == pytest.approx([line[key] for line in one], abs=1e-5)
    expected, found = load_weights(folder / FINAL), load_weights(shared / FINAL)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=1e-3)


def test_matrices_are_orthogonalised_alike_by_two_processes(together, tmp_path):
    losses = run_alone(share_run("muon"), tmp_path)
    assert len(losses) == 2 * SHARE_EPOCHS
    assert losses != pytest.approx(losses[:1] * len(losses), abs=1e-2)
    assert json.loads((together / "muon" / "losses.json").read_text()) == pytest.approx(losses, abs=1e-5)


def test_they_leave_the_files_of_one(alone, together):
    _, folder = alone
    shared = together / "lost"
    assert Run.load(shared / "run.json") == Run.load(folder / "run.json")
    assert {path.name for path in shared.iterdir()} - {"losses.json"} == {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(("size", "world"), [(2, 2), (7, 3), (1, 1), (9, 4)])
def test_shares_together_are_the_batch(size, world):
    parts = [Share(rank, world).rows(size) for rank in range(world)]
    assert [row for part in parts for row in part] == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [item for rank in range(world) for item in Share(rank, world).own("abcdefghi"[:size])] == list(
        "abcdefghi"[:size]
    )


def test_a_share_of_a_batch_is_read_as_in_the_whole():
    run = share_run()
    whole = tiny_parts(run).train.batch(4)
    parts = [tiny_parts(run, share=Share(rank, 2)).train.batch(4) for rank in range(2)]
    assert torch.equal(torch.cat([part.image for part in parts]), whole.image)
    assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
    assert parts[0].seeds + parts[1].seeds == whole.seeds


def test_alone_nothing_is_sent():
    value = torch.zeros(2)
    assert ALONE.gather(value, 2) is value
    assert ALONE.gather_outputs([value], 2)[0] is value
    assert ALONE.gather_objects(["a"]) == ["a"]
    assert ALONE.largest(3) == 3
    assert ALONE.decide(lambda: 4) == 4
    assert join(torch.device("cpu")) == (ALONE, torch.device("cpu"))
    leave()


def test_batches_that_cannot_be_shared_are_refused():
    with pytest.raises(SpecError, match="4 processes cannot share batches of 2: start at most 2"):
        Share(0, 4).check(batch_size=2, accumulate=1)
    with pytest.raises(SpecError, match="in 2 parts already"):
        Share(0, 2).check(batch_size=4, accumulate=2)
    ALONE.check(batch_size=4, accumulate=2)
    with pytest.raises(SpecError, match="3 processes cannot share"):
        tiny_parts(tiny_run(), share=Share(0, 3))


def test_batch_norm_is_shared_on_gpus_only():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    assert ALONE.prepare(network) is network
    assert Share(0, 2).prepare(network[0]) is network[0]
    with pytest.raises(SpecError, match="batch norm cannot be shared"):
        Share(0, 2).prepare(network)


def test_a_process_without_a_gpu_of_its_own_is_told(monkeypatch):
    monkeypatch.setattr(distributed.dist, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(distributed.dist, "get_node_local_rank", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(AutosegError, match="process 1 has no GPU of its own: this machine has 1"):
        join(torch.device("cuda", 0))
