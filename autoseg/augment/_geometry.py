"""What an augmentation must know about the patch that the network will see."""

from __future__ import annotations

from dataclasses import dataclass, field

from autoseg.core.errors import SpecError

ANISOTROPY_OF_DUMMY_2D = 3.0
"""Longest edge over first edge above which a 3D patch is deformed slice by slice (nnU-Net v2)."""


@dataclass(frozen=True)
class PatchGeometry:
    """Shape and rules of the patch; axis order is (z, y, x), or (y, x) in 2D.

    Attributes:
        patch_size_voxels: Size after augmentation.
        channels: Image channels; per-channel draws need their number.
        mirror_axes: Spatial axes that may be flipped, 0 is the first spatial axis; None is all of them.
        previous_values: In a cascade the label values of the previous stage, whose label map comes after the own one
            and becomes one image channel per value; empty otherwise.
        masked_channels: Channels normalised inside the non-zero mask: reset to 0 where the label is -1 (outside).
        swapped_axis: Of the mirror axes the one whose reversal makes labels change places; None for none.
        swapped_labels: Pairs of label values that then do, in every label map.
        context_voxels: Per axis, what of the patch the network sees on every side without labelling it; empty for none.

    Raises:
        SpecError: The patch is neither 2D nor 3D, an axis or channel does not exist, or the context leaves no core.
    """

    patch_size_voxels: tuple[int, ...]
    channels: int = field(default=1, kw_only=True)
    mirror_axes: tuple[int, ...] | None = field(default=None, kw_only=True)
    masked_channels: tuple[int, ...] = field(default=(), kw_only=True)
    context_voxels: tuple[int, ...] = field(default=(), kw_only=True)
    previous_values: tuple[int, ...] = field(default=(), kw_only=True)
    swapped_axis: int | None = field(default=None, kw_only=True)
    swapped_labels: tuple[tuple[int, int], ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        size = tuple(int(edge) for edge in self.patch_size_voxels)
        if len(size) not in (2, 3) or min(size) < 1:
            raise SpecError(f"patch size {list(size)}", "give two or three positive edges")
        axes = tuple(range(len(size))) if self.mirror_axes is None else tuple(self.mirror_axes)
        if not set(axes) <= set(range(len(size))):
            raise SpecError(f"mirror axes {list(axes)} of a {len(size)}D patch", f"choose from 0..{len(size) - 1}")
        if not set(self.masked_channels) <= set(range(self.channels)):
            raise SpecError(f"masked channels {list(self.masked_channels)} of {self.channels}", "count from 0")
        context = tuple(self.context_voxels) or (0,) * len(size)
        if len(context) != len(size) or any(2 * voxels >= edge for voxels, edge in zip(context, size, strict=True)):
            raise SpecError(f"context {list(context)} of a patch {list(size)}", "enlarge the patch by the context")
        object.__setattr__(self, "patch_size_voxels", size)
        object.__setattr__(self, "mirror_axes", axes)

    @property
    def core(self) -> tuple[slice, ...]:
        """What of the patch is labelled."""
        context = self.context_voxels or (0,) * len(self.patch_size_voxels)
        return tuple(slice(voxels, edge - voxels) for voxels, edge in zip(context, self.patch_size_voxels, strict=True))

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return len(self.patch_size_voxels)

    @property
    def dummy_2d(self) -> bool:
        """Whether a 3D patch is so anisotropic that it is deformed and coarsened in-plane only."""
        return self.dimensions == 3 and max(self.patch_size_voxels) / self.patch_size_voxels[0] > ANISOTROPY_OF_DUMMY_2D
