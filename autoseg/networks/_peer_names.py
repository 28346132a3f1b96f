"""nnU-Net v2's names for the weights of `plain_unet` and `residual_encoder_unet`.

Names are equal but for its aliases: there, each block registers its layers twice (`conv` is `all_modules.0`, `norm`
follows it), and the decoder registers the encoder (`decoder.encoder`). Both functions copy no tensor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

Weight = TypeVar("Weight")
ALIASED_ENCODER = "decoder.encoder."
BLOCK_LAYER = re.compile(r"^(?P<block>.+)\.(?P<layer>conv|norm)\.(?P<rest>[^.]+)$")
WITHOUT_DROPOUT = re.compile(r"\.conv2$|\.skip\.\d+$")


def drop_aliases(state: Mapping[str, Weight]) -> dict[str, Weight]:
    """State for our networks from a `state_dict` of nnU-Net v2."""
    return {
        name: weight
        for name, weight in state.items()
        if ".all_modules." not in name and not name.startswith(ALIASED_ENCODER)
    }


def add_aliases(state: Mapping[str, Weight], *, dropout: bool = False) -> dict[str, Weight]:
    """State that nnU-Net v2 loads strictly, from one of our networks.

    Args:
        state: Of `plain_unet` or `residual_encoder_unet`.
        dropout: Whether its blocks hold a dropout layer, which moves the norm's number; the second convolution of a
            residual block and its skip connection have none.
    """
    named = dict(state)
    for name, weight in state.items():
        found = BLOCK_LAYER.match(name)
        if found:
            dropped = dropout and not WITHOUT_DROPOUT.search(found["block"])
            position = 0 if found["layer"] == "conv" else 2 if dropped else 1
            named[f"{found['block']}.all_modules.{position}.{found['rest']}"] = weight
    encoder = {f"decoder.{name}": weight for name, weight in named.items() if name.startswith("encoder.")}
    return {**named, **encoder}
