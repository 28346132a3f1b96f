"""Augmentations by name: batched torch operations, drawn first and applied after (layer 3)."""

from autoseg.core.registry import Registry

augmentations = Registry(__name__, "augmentation")
