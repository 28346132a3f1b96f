"""One shape for all cases, as published methods that resize every image have it."""

from __future__ import annotations

from autoseg.core.errors import SpecError
from autoseg.specs.method import PlanChoices


def target_shape(name: str, choices: PlanChoices, transpose: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """Shape that a method gives every case of a configuration, in the plan's axis order; None where it gives none.

    Args:
        name: Configuration.
        choices: Holds (z, y, x) before the transpose, or (y, x) of a slice in 2D, whose number of slices stays.
        transpose: Plan axis i is axis `transpose[i]`.

    Raises:
        SpecError: Another number of sizes, or no whole ones.
    """
    values = choices.overrides.get(name, {}).get("target_shape_voxels")
    if values is None:
        return None
    dimensions = 2 if name.startswith("2d") else 3
    if len(values) != dimensions or min(values) < 1 or any(value != int(value) for value in values):
        raise SpecError(
            f"{name}.target_shape_voxels = {values}",
            f"give {dimensions} whole numbers, {', '.join('zyx'[-dimensions:])}",
        )
    sizes = [int(value) for value in values]
    if dimensions == 2:
        return (1, sizes[0], sizes[1])
    first, second, third = (sizes[axis] for axis in transpose)
    return (first, second, third)
