"""Read durations as people write them."""

from __future__ import annotations

import re

from autoseg.core.errors import SpecError

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration_s(text: str) -> float:
    """Seconds of `90`, `90s`, `20m`, `1.5h`, `2d` or a sum such as `1h30m`.

    Raises:
        SpecError: The text is not a positive duration.
    """
    compact = text.replace(" ", "").lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([a-z]*)", compact)
    seconds = sum(float(number) * _UNITS_S.get(unit, 0.0) for number, unit in parts)
    understood = all(unit in _UNITS_S for _, unit in parts) and "".join(map("".join, parts)) == compact
    if not understood or seconds <= 0:
        raise SpecError(f"'{text}' is not a duration", "write it like 90s, 20m, 1.5h or 1h30m")
    return seconds
