"""Post-processing steps by name, in numpy (layer 4)."""

from autoseg.core.registry import Registry

steps = Registry(__name__, "post-processing step")
