"""Networks by name: `build(options, topology, channels, heads) -> nn.Module`, and their cost (layer 3)."""

from autoseg.core.registry import Registry

networks = Registry(__name__, "network")
