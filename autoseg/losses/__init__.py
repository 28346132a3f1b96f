"""Losses by name: `build(options) -> callable(logits, target, mask) -> scalar` (layer 3)."""

from autoseg.core.registry import Registry

losses = Registry(__name__, "loss")
