"""Intensity normalisers by name, in numpy (layer 3).

A component's `build(options, *, statistics)` gets the channel's foreground statistics over the data set, or None, and
returns `normalize(channel, mask)`: float32 (Z, Y, X) in, float32 (Z, Y, X) out. `mask`, where given, is True inside
the body; then statistics come from inside and the outside is left as it is. The input may be overwritten, to save a
volume's worth of memory: use what is returned. A module whose values mean something in one modality alone says so by
`MODALITY`.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from autoseg.core.registry import Registry
from autoseg.specs.document import Component

Normalizer = Callable[[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None], npt.NDArray[np.float32]]

normalizers = Registry(__name__, "normalizer")


def steps_of(component: Component) -> tuple[Component, ...]:
    """The normalisers that a channel goes through: those of a `chain`, else the component itself."""
    if component.name != "chain":
        return (component,)
    inner: tuple[Component, ...] = getattr(normalizers.options(component.name, component.options), "steps", ())
    return tuple(step for part in inner for step in steps_of(part))


def title_of(component: Component) -> str:
    """Name to be shown."""
    return ", ".join(step.name for step in steps_of(component))


def modality_of(component: Component) -> str | None:
    """Modality that a component is for, None where it serves any."""
    found = (getattr(normalizers.load(step.name), "MODALITY", None) for step in steps_of(component))
    return next((name for name in found if name is not None), None)
