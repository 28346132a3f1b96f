"""Registry of scoring protocols: one file per challenge's rules.

`build(options)` returns a `Protocol`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoseg.core.registry import Registry
from autoseg.metrics.protocols._protocol import Protocol

__all__ = ["PROTOCOLS", "Protocol", "load_protocol"]

PROTOCOLS = Registry(__name__, "scoring protocol")


def load_protocol(name: str, options: Mapping[str, Any] | None = None) -> Protocol:
    """Protocol by name.

    Raises:
        RegistryError: Unknown protocol or option.
    """
    protocol: Protocol = PROTOCOLS.build(name, options)
    return protocol
