"""Make `networks.json`: outputs, weight names and sizes of nnU-Net v2's networks (dynamic-network-architectures 0.4.4).

Run it where that package is installed: `python tests/golden/make_networks.py`. Weights and inputs follow a formula, so
that nothing but a few numbers is stored.
"""

import hashlib
import json
from pathlib import Path

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

SMALL = {
    "3d": ([4, 8, 16], [[1] * 3, [2] * 3, [2] * 3], [[3] * 3] * 3, [8, 12, 8]),
    "anisotropic": ([4, 8, 8], [[1] * 3, [1, 2, 2], [2] * 3], [[1, 3, 3], [3] * 3, [3] * 3], [4, 16, 12]),
    "2d": ([4, 8, 16, 16], [[1] * 2, [2] * 2, [2] * 2, [2, 1]], [[3] * 2] * 4, [16, 24]),
}
LARGE = {
    "hippocampus 3d": ([32, 64, 128, 256], [[1] * 3] + [[2] * 3] * 3, [[3] * 3] * 4, [40, 56, 40], 1, 3),
    "brain tumour 3d": (
        [32, 64, 128, 256, 320, 320],
        [[1] * 3] + [[2] * 3] * 4 + [[1, 2, 2]],
        [[3] * 3] * 6,
        [96, 160, 160],
        2,
        5,
    ),
    "hippocampus 2d": ([32, 64, 128, 256], [[1] * 2] + [[2] * 2] * 3, [[3] * 2] * 4, [56, 40], 1, 3),
    "anisotropic 3d": (
        [32, 64, 128, 256, 320, 320],
        [[1] * 3, [1, 2, 2], [1, 2, 2], [2] * 3, [2] * 3, [1, 2, 2]],
        [[1, 3, 3]] * 2 + [[3] * 3] * 4,
        [16, 320, 256],
        1,
        3,
    ),
}


def wave(name: str, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    """Numbers in [-scale, scale] that look random and depend on the name alone."""
    phase = int(hashlib.sha256(name.encode()).hexdigest()[:6], 16) / 1e3
    index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (scale * torch.sin(1.7 * index + phase)).float().reshape(shape)


def make(kind: str, features, strides, kernels, channels: int, heads: int) -> tuple[nn.Module, list[int], list[int]]:
    """Network as nnU-Net v2 plans it."""
    stages, flat = len(features), len(strides[0]) == 2
    plain = kind == "plain_unet"
    encoder = [2] * stages if plain else [1, 3, 4, 6, 6, 6][:stages]
    decoder = [2 if plain else 1] * (stages - 1)
    blocks = {"n_conv_per_stage" if plain else "n_blocks_per_stage": encoder}
    network = (PlainConvUNet if plain else ResidualEncoderUNet)(
        channels,
        stages,
        features,
        nn.Conv2d if flat else nn.Conv3d,
        kernels,
        strides,
        **blocks,
        num_classes=heads,
        n_conv_per_stage_decoder=decoder,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d if flat else nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    return network, encoder, decoder


def outputs() -> list[dict]:
    rows = []
    for kind in ("plain_unet", "residual_encoder_unet"):
        for name, (features, strides, kernels, patch) in SMALL.items():
            network, encoder, decoder = make(kind, features, strides, kernels, 2, 3)
            for key, parameter in network.named_parameters():
                parameter.data = wave(key, parameter.shape, 0.3)
            network.decoder.deep_supervision = True
            with torch.no_grad():
                levels = network(wave("image", (2, 2, *patch), 2.0))
            digest = hashlib.sha256("\n".join(sorted(network.state_dict())).encode()).hexdigest()
            rows.append(
                {
                    "network": kind,
                    "name": name,
                    "topology": topology(features, strides, kernels, encoder, decoder),
                    "patch": patch,
                    "names": digest,
                    "levels": [sample(level) for level in levels],
                }
            )
    return rows


def sample(level: torch.Tensor) -> dict:
    flat = level.double().flatten()
    return {
        "shape": list(level.shape),
        "mean": flat.mean().item(),
        "std": flat.std().item(),
        "values": [round(value, 7) for value in flat[:: max(1, len(flat) // 16)].tolist()],
    }


def topology(features, strides, kernels, encoder, decoder) -> dict:
    return {
        "features": features,
        "strides": strides,
        "kernels": kernels,
        "encoder_blocks": encoder,
        "decoder_blocks": decoder,
    }


def costs() -> list[dict]:
    rows = []
    for name, (features, strides, kernels, patch, channels, heads) in LARGE.items():
        for kind in ("plain_unet", "residual_encoder_unet"):
            with torch.device("meta"):
                network, encoder, decoder = make(kind, features, strides, kernels, channels, heads)
            rows.append(
                {
                    "network": kind,
                    "name": name,
                    "topology": topology(features, strides, kernels, encoder, decoder),
                    "patch": patch,
                    "channels": channels,
                    "heads": heads,
                    "elements": int(network.compute_conv_feature_map_size(patch)),
                    "parameters": sum(parameter.numel() for parameter in network.parameters()),
                }
            )
    return rows


if __name__ == "__main__":
    target = Path(__file__).with_name("networks.json")
    parts = {
        key: ",\n".join(json.dumps(row) for row in rows) for key, rows in (("outputs", outputs()), ("costs", costs()))
    }
    text = ",\n".join(f'"{key}": [\n{rows}\n]' for key, rows in parts.items())
    target.write_text(f"{{\n{text}\n}}\n")
