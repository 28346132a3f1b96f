"""Intensity normalisers by name, in numpy (layer 3)."""

from autoseg.core.registry import Registry

normalizers = Registry(__name__, "normalizer")
