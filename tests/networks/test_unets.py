"""The U-Nets compute what nnU-Net v2's do, under the same names."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from autoseg.networks import networks
from autoseg.networks._blocks.residual import ResidualBlock
from autoseg.networks._peer_names import add_aliases, drop_aliases
from autoseg.specs.plan import Topology

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "networks.json").read_text())["outputs"]


def wave(name: str, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    """The formula of golden/make_networks.py."""
    phase = int(hashlib.sha256(name.encode()).hexdigest()[:6], 16) / 1e3
    index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (scale * torch.sin(1.7 * index + phase)).float().reshape(shape)


def build(row: dict, options: dict | None = None) -> torch.nn.Module:
    topology = Topology.model_validate_json(json.dumps(row["topology"]))
    return networks.build(row["network"], options, topology=topology, channels=2, heads=3)


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: f"{row['network']}-{row['name']}")
class TestAgainstPeer:
    def test_outputs(self, row: dict) -> None:
        network = build(row)
        network.deep_supervision = True
        for name, parameter in network.named_parameters():
            parameter.data = wave(name, parameter.shape, 0.3)
        with torch.no_grad():
            levels = network(wave("image", (2, 2, *row["patch"]), 2.0))
        assert len(levels) == len(row["levels"])
        for level, expected in zip(levels, row["levels"], strict=True):
            assert list(level.shape) == expected["shape"]
            flat = level.double().flatten()
            found = [*flat[:: max(1, len(flat) // 16)].tolist(), flat.mean().item(), flat.std().item()]
            assert found == pytest.approx([*expected["values"], expected["mean"], expected["std"]], abs=1e-5)

    def test_names(self, row: dict) -> None:
        state = build(row).state_dict()
        named = add_aliases(state)
        assert hashlib.sha256("\n".join(sorted(named)).encode()).hexdigest() == row["names"]
        assert drop_aliases(named).keys() == state.keys()


def test_aliases_share_their_tensor_and_follow_a_dropout() -> None:
    state = build(GOLDEN[0], {"dropout": 0.1}).state_dict()
    named = add_aliases(state, dropout=True)
    block = "encoder.stages.0.0.convs.0"
    assert named[f"decoder.{block}.all_modules.2.weight"] is state[f"{block}.norm.weight"]
    assert named[f"decoder.{block}.conv.bias"] is state[f"{block}.conv.bias"]


def test_max_pool_moves_the_stack_behind_the_pool() -> None:
    network = build(GOLDEN[0], {"downsampling": "max_pool"})
    assert "encoder.stages.1.1.convs.0.conv.weight" in network.state_dict()
    assert network(torch.zeros(1, 2, *GOLDEN[0]["patch"])).shape == (1, 3, *GOLDEN[0]["patch"])


def test_weights_start_as_he_proposed() -> None:
    network = build(GOLDEN[0])
    weight = network.encoder.stages[2][0].convs[1].conv.weight  # 16 channels, 27 taps
    assert weight.std().item() == pytest.approx((2 / (1 + 0.01**2) / (16 * 27)) ** 0.5, rel=0.05)
    assert all(not parameter.any() for name, parameter in network.named_parameters() if name.endswith("conv.bias"))


def test_residual_branches_start_at_zero() -> None:
    network = build(GOLDEN[3])
    norms = [module.conv2.norm for module in network.modules() if isinstance(module, ResidualBlock)]
    assert len(norms) == 1 + 3 + 4
    assert all(not norm.weight.any() and not norm.bias.any() for norm in norms)
    assert all(module.conv1.norm.weight.all() for module in network.modules() if isinstance(module, ResidualBlock))


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"norm": "batch"}, torch.nn.BatchNorm3d),
        ({"activation": "relu"}, torch.nn.ReLU),
        ({"dropout": 0.2}, torch.nn.Dropout3d),
    ],
)
def test_options_choose_layers(options: dict, kind: type) -> None:
    assert any(isinstance(module, kind) for module in build(GOLDEN[0], options).modules())
    assert not any(isinstance(module, kind) for module in build(GOLDEN[0]).modules())
