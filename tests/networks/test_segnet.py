"""SegNet shares places, not features."""

import torch

from autoseg.networks import networks
from autoseg.networks._blocks.pooling import max_pool
from autoseg.specs.plan import Topology

BUCHWALD = Topology(
    features=(4, 8, 16, 32),
    strides=((1, 1, 1), *((2, 2, 2),) * 3),
    kernels=((3, 3, 3),) * 4,
    encoder_blocks=(2,) * 4,
    decoder_blocks=(2,) * 3,
)


def build():
    torch.manual_seed(0)
    return networks.build("segnet", topology=BUCHWALD, channels=2, heads=3).eval()


def test_the_decoder_gets_the_coarsest_features_and_bytes():
    network = build()
    features, places = network.encoder(torch.randn(1, 2, 16, 16, 8))
    assert features.shape == (1, 32, 2, 2, 1)
    assert [(which.dtype, which.shape[1:]) for which in places] == [
        (torch.uint8, (4, 8, 8, 4)),
        (torch.uint8, (8, 4, 4, 2)),
        (torch.uint8, (16, 2, 2, 1)),
    ]


def test_values_return_to_where_the_maxima_were():
    network = build()
    image = torch.randn(1, 2, 16, 16, 8)
    seen = []
    network.decoder.stages[-1].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    network(image)
    fine = network.encoder.stages[0](image)
    pooled, _ = max_pool(fine, (2, 2, 2))
    largest = fine == pooled.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    assert seen[0].any()
    assert not seen[0][~largest].any()
