"""Read and write amounts of memory as people do."""

from __future__ import annotations

import re

from autoseg.core.errors import SpecError

_UNITS = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


def parse_size(text: str, *, whole: int) -> int:
    """Bytes of `4GB`, `512MiB`, `1.5g`, `2000000000`, or `50%` of a whole.

    Args:
        text: As typed.
        whole: Bytes that a percentage is of.

    Raises:
        SpecError: The text is not a positive amount, or more than the whole in percent.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]*|%)", text.replace(" ", "").lower())
    number, unit = (float(found[1]), found[2]) if found else (0.0, "")
    share = number / 100 * whole if number <= 100 else 0.0
    size = int(share if unit == "%" else number * _UNITS.get(unit, 0))
    if size <= 0:
        raise SpecError(f"'{text}' is not an amount of memory", "write it like 4GB, 512MiB or 50%")
    return size


def describe_size(size: int) -> str:
    """Two digits or three with a unit: `1.9 GB`, `512 MB`; never less than it is."""
    if size >= 10**9:
        tenths = -(-size // 10**8)
        return f"{tenths // 10}.{tenths % 10} GB" if tenths % 10 else f"{tenths // 10} GB"
    return f"{-(-size // 10**6)} MB"
