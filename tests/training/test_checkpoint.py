"""Checkpoints restore everything, are written whole or not at all, and name what is wrong with them."""

import pytest
import torch
from safetensors.torch import save_file
from tiny import method, tiny_parts, tiny_run

from autoseg.core.errors import CheckpointError, StorageError
from autoseg.training.checkpoint import load_checkpoint, save_checkpoint
from autoseg.training.trainer import gradient_step


def state_after(updates, *, name="adamw", average=0.9, seed=0):
    parts = tiny_parts(tiny_run(method(name=name, weight_average=average), seed=seed))
    for index in range(updates):
        gradient_step(parts, parts.train.batch(index), clip=1.0)
        if parts.state.average is not None:
            parts.state.average.update(0.5)
    return parts.state


def everything(state):
    tensors = list(state.network.state_dict().values())
    tensors += [] if state.average is None else list(state.average.tensors.values())
    for _, slots in sorted(state.optimizer.state_dict()["state"].items()):
        tensors += [value for _, value in sorted(slots.items()) if torch.is_tensor(value)]
    return tensors


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_what_is_saved_comes_back(tmp_path, name, average):
    path = tmp_path / "checkpoint.safetensors"
    saved, fresh = state_after(2, name=name, average=average), state_after(0, name=name, average=average, seed=1)
    save_checkpoint(path, saved, progress={"update": 2}, run_digest="abc")
    assert load_checkpoint(path, fresh, run_digest="abc") == {"update": 2}
    for mine, theirs in zip(everything(saved), everything(fresh), strict=True):
        assert torch.equal(mine, theirs)


def test_equal_states_are_equal_files(tmp_path):
    for name in "ab":
        save_checkpoint(tmp_path / name, state_after(1), progress={"update": 1}, run_digest="abc")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_gradient_scale_comes_back(tmp_path):
    saved, fresh = state_after(0), state_after(0)
    saved.scaler, fresh.scaler = torch.amp.GradScaler("cpu", init_scale=8.0), torch.amp.GradScaler("cpu")
    save_checkpoint(tmp_path / "a", saved, progress={}, run_digest="abc")
    load_checkpoint(tmp_path / "a", fresh, run_digest="abc")
    assert fresh.scaler.get_scale() == 8.0


def test_another_run_is_refused_and_nothing_is_touched(tmp_path):
    save_checkpoint(tmp_path / "a", state_after(1), progress={}, run_digest="abc")
    fresh = state_after(0)
    before = [tensor.clone() for tensor in everything(fresh)]
    with pytest.raises(CheckpointError, match="a belongs to a run with other settings: delete it"):
        load_checkpoint(tmp_path / "a", fresh, run_digest="abd")
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(before, everything(fresh), strict=True))


@pytest.mark.parametrize("kept", [0, 7, 1000, -1])
def test_a_damaged_file_is_named(tmp_path, kept):
    save_checkpoint(tmp_path / "a", state_after(0), progress={}, run_digest="abc")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"a is damaged \(.*delete it to start this run anew"):
        load_checkpoint(tmp_path / "a", state_after(0), run_digest="abc")


def test_a_file_of_another_program_is_named(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a")
    with pytest.raises(CheckpointError, match="a is damaged"):
        load_checkpoint(tmp_path / "a", state_after(0), run_digest="abc")


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, full_disk):
    state = state_after(0)
    save_checkpoint(tmp_path / "a", state, progress={"update": 1}, run_digest="abc")
    full_disk()
    with pytest.raises(StorageError, match="free some space"):
        save_checkpoint(tmp_path / "a", state, progress={"update": 2}, run_digest="abc")
    assert load_checkpoint(tmp_path / "a", state, run_digest="abc") == {"update": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
