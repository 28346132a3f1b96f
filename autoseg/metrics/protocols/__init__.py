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
    """Protocol by name; `-` and `_` are equal, and `NAME:VARIANT` is short for the option `variant`.

    Raises:
        RegistryError: Unknown protocol or option.
    """
    base, _, variant = name.replace("-", "_").partition(":")
    protocol: Protocol = PROTOCOLS.build(base, {**(options or {}), **({"variant": variant} if variant else {})})
    return protocol
