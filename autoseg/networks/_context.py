"""Networks that see more than they label: the output is the core of the input, cores tile a volume without seams.

Source: Buchwald et al., Brain Tumor Segmentation on the Basis of a U-Net Architecture: input minicubes of
(100, 116, 116) for cores of (80, 96, 96). How the input meets the strides is our decision: zeros around it inside the
network, placed by context and strides alone, so that every tile of a grid is pooled in step with its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.core.errors import GeometryError, SpecError
from autoseg.specs.plan import Topology


@dataclass(frozen=True)
class Context:
    """Where the core lies in an input.

    Attributes:
        voxels: Context on every side, per axis.
        strides: Stride of each stage against the input, finest first, per axis.
    """

    voxels: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, voxels: tuple[int, ...] | None, topology: Topology) -> Context | None:
        """None without context.

        Raises:
            SpecError: The context has another number of axes than the network, or is negative.
        """
        if voxels is None:
            return None
        if len(voxels) != topology.dimensions or min(voxels) < 0:
            axes = "(y, x)" if topology.dimensions == 2 else "(z, y, x)"
            raise SpecError(f"context_voxels = {voxels}", f"give {topology.dimensions} numbers {axes}, none below 0")
        reached, strides = (1,) * topology.dimensions, []
        for stride in topology.strides:
            reached = tuple(before * step for before, step in zip(reached, stride, strict=True))
            strides.append(reached)
        return cls(voxels, tuple(strides))

    def padding(self, input_size_voxels: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Zeros before and after the input, per axis.

        Before: the least that puts the core on the grid of every decoder level. After: up to the next multiple of the
        coarsest stride.
        """
        sides = []
        for edge, context, level, coarsest in zip(
            input_size_voxels, self.voxels, self.strides[-2], self.strides[-1], strict=True
        ):
            before = -context % level
            sides.append((before, -(edge + before) % coarsest))
        return tuple(sides)

    def padded(self, core_size_voxels: tuple[int, ...]) -> tuple[int, ...]:
        """Size that the convolutions see for a core."""
        size = tuple(edge + 2 * context for edge, context in zip(core_size_voxels, self.voxels, strict=True))
        return tuple(edge + sum(sides) for edge, sides in zip(size, self.padding(size), strict=True))

    def core(self, input_size_voxels: tuple[int, ...], level: int) -> tuple[slice, ...]:
        """Where the core lies in the output of a decoder level, 0 the finest.

        Raises:
            GeometryError: The input has no core, or the level's voxels straddle its border.
        """
        slices = []
        for edge, context, sides, step in zip(
            input_size_voxels, self.voxels, self.padding(input_size_voxels), self.strides[level], strict=True
        ):
            size = edge - 2 * context
            if size <= 0:
                raise GeometryError(
                    f"an input of {input_size_voxels} voxels has no core within a context of {self.voxels}",
                    "enlarge the patch by the context",
                )
            if size % step:
                raise GeometryError(
                    f"a core of {size} voxels does not divide by {step}, the stride of decoder level {level}",
                    "choose another patch size or train without deep supervision",
                )
            first = (context + sides[0]) // step
            slices.append(slice(first, first + size // step))
        return tuple(slices)
