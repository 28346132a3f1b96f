"""What differs between two plans, in words."""

from __future__ import annotations

from typing import Any

from autoseg.specs.plan import Plan

_COMPARED = ("configurations", "channels", "labels", "regions_class_order", "mirror_axes", "laterality")
"""What a run depends on; reasons and digests may differ."""


def changes(old: Plan, new: Plan) -> tuple[str, ...]:
    """`path: old -> new` for every value that a run depends on and that differs."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    return tuple(line for name in _COMPARED for line in _differences(name, before.get(name), after.get(name)))


def _differences(path: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(old.keys() | new.keys()):
            found += _differences(f"{path}.{key}", old.get(key), new.get(key))
        return found
    return [] if old == new else [f"{path.removeprefix('configurations.')}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
