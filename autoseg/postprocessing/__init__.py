"""Post-processing steps by name, in numpy (layer 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from autoseg.core.errors import SpecError
from autoseg.core.registry import Registry
from autoseg.specs.document import Component

Labels = npt.NDArray[Any]
Step = Callable[[Labels, Sequence[float]], Labels]
"""`step(labels, spacing_mm)`: (Z, Y, X) integers and (z, y, x) mm in, a label map of the same shape and type out; the
input is not changed, and comes back itself where there is nothing to do."""

steps = Registry(__name__, "post-processing step")


def apply_steps(chosen: Sequence[Component], labels: Labels, spacing_mm: Sequence[float]) -> Labels:
    """Run registered steps in order.

    Args:
        chosen: Names and options.
        labels: (Z, Y, X), left as it is.
        spacing_mm: (z, y, x).

    Raises:
        RegistryError: Unknown step, or an option it does not have.
        SpecError: A step writes a label that is too large for the masks.
    """
    for component in chosen:
        step: Step = steps.build(component.name, component.options)
        try:
            labels = step(labels, spacing_mm)
        except OverflowError as error:
            raise SpecError(
                f"{component.name} writes a label that masks of {labels.dtype} cannot hold ({error})",
                "name a label of the data set",
            ) from error
    return labels
