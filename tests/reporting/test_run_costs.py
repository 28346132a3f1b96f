"""Parameters, time and memory from the files of runs."""

from __future__ import annotations

import json

import pytest
import torch

from autoseg.core.errors import CheckpointError
from autoseg.io.weights import count_parameters, save_weights
from autoseg.reporting.run_costs import Costs, read_costs


@pytest.fixture
def weights(tmp_path):
    """Of a convolution with batch norm."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5))
    save_weights(tmp_path / "w.safetensors", network.state_dict())
    assert count_parameters(tmp_path / "w.safetensors") == sum(one.numel() for one in network.parameters())
    return tmp_path / "w.safetensors"


def log(path, *epochs):
    """Epochs of ten updates: (seconds, peak)."""
    lines = [
        {
            "update": 10 * (index + 1),
            "time": {"seconds": seconds, **({} if peak is None else {"peak_memory_bytes": peak})},
        }
        for index, (seconds, peak) in enumerate(epochs)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_time_is_the_median_epoch_and_memory_the_largest(tmp_path, weights):
    logs = [
        log(tmp_path / "a.jsonl", (99.0, 5), (2.0, 7), (3.0, 6)),
        log(tmp_path / "b.jsonl", (50.0, 5), (4.0, 5), (5.0, 5)),
    ]
    assert read_costs([weights, weights], logs) == Costs(150, 0.35, 7)


def test_a_single_epoch_counts_and_an_old_log_has_no_memory(tmp_path, weights):
    assert read_costs([weights], [log(tmp_path / "a.jsonl", (20.0, None))]) == Costs(150, 2.0, None)
    assert read_costs([weights], [tmp_path / "missing.jsonl"]) == Costs(150, None, None)


def test_damaged_weights_are_named(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"w\.safetensors cannot be read .*: train the fold again"):
        read_costs([tmp_path / "w.safetensors"], [])
