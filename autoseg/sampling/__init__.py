"""Patch samplers by name (layer 3)."""

from autoseg.core.registry import Registry

samplers = Registry(__name__, "sampler")
