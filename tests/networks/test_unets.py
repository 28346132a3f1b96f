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


def test_only_some_layers_of_a_residual_block_have_dropout() -> None:
    names = {f"b.{layer}.norm.weight": 0 for layer in ("conv1", "conv2", "skip.1")}
    assert set(add_aliases(names, dropout=True)) - set(names) == {
        "b.conv1.all_modules.2.weight",
        "b.conv2.all_modules.1.weight",
        "b.skip.1.all_modules.1.weight",
    }


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


def test_dropout_between_the_convolutions_of_a_stage() -> None:
    network = build(GOLDEN[0], {"dropout": 0.2, "dropout_position": "between"})
    first, *_, last = network.encoder.stages[2][0].convs
    assert last.dropout is None
    drawn: list[torch.Tensor] = []
    first.nonlin.register_forward_hook(lambda _module, _inputs, output: drawn.append(output.clone()))
    out = first.train()(torch.randn(8, first.conv.in_channels, 8, 8, 8))
    dropped = (out == 0).flatten(2).all(2)
    assert dropped.any()
    torch.testing.assert_close(out[~dropped], drawn[0][~dropped] / 0.8)


def test_bottleneck_convolutions_are_those_of_the_coarsest_stage() -> None:
    network = build(GOLDEN[0], {"bottleneck_convolutions": 1})
    usual = build(GOLDEN[0])
    assert len(network.encoder.stages[-1][0].convs) == 1 < len(usual.encoder.stages[-1][0].convs)
    assert len(network.encoder.stages[-2][0].convs) == len(usual.encoder.stages[-2][0].convs)


def test_without_norm_there_is_nothing_between_convolution_and_activation() -> None:
    network = build(GOLDEN[0], {"norm": "none"})
    assert not [name for name in network.state_dict() if ".norm." in name]


@pytest.mark.parametrize("alignment", ["per_level", "shared"])
@pytest.mark.parametrize("offsets_from", ["encoder", "both"])
def test_alignment_starts_at_the_network_without_it(alignment: str, offsets_from: str) -> None:
    torch.manual_seed(0)
    aligned = build(GOLDEN[0], {"skip": "aligned", "alignment": alignment, "offsets_from": offsets_from})
    plain = build(GOLDEN[0])
    lacking = plain.load_state_dict(aligned.state_dict(), strict=False)
    assert not lacking.missing_keys
    assert all(name.startswith("decoder.alignment.") for name in lacking.unexpected_keys)
    image = torch.randn(1, 2, *GOLDEN[0]["patch"])
    with torch.no_grad():
        torch.testing.assert_close(aligned(image), plain(image), atol=1e-4, rtol=1e-4)


def test_one_kernel_is_shared_by_all_levels() -> None:
    state = build(GOLDEN[0], {"skip": "aligned", "alignment": "shared"}).state_dict()
    kernels = [name for name in state if name.startswith("decoder.alignment.") and state[name].shape[:2] == (64, 64)]
    assert kernels == ["decoder.alignment.shared.conv.weight"]
    assert state["decoder.alignment.shared.offsets.weight"].shape == (81, 64, 3, 3, 3)
