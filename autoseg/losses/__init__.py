"""Losses by name: `build(options, space, batch_dice) -> callable(logits, target, mask) -> scalar` (layer 3).

Component files import torch only inside `build`, so that options can be validated by commands that never touch torch.
"""

from autoseg.core.registry import Registry

losses = Registry(__name__, "loss")
