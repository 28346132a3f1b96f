"""Distances between two surfaces, every surface element weighted by its area.

The definitions are those of DeepMind's surface-distance (Nikolov et al., "Clinically applicable segmentation of head
and neck anatomy", J Med Internet Res 2021): a surface element sits at each corner shared by eight voxels that are not
all equal; its area is that of the marching-cubes surface inside the cube of these eight voxel centres.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import edt
import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Corner = tuple[int, int, int]

_CORNERS: tuple[Corner, ...] = tuple((z, y, x) for z, y, x in itertools.product((0, 1), repeat=3))
"""Corner of bit 4 z + 2 y + x of a neighbour code."""
_NEAR_SPACINGS = 8
"""Distances up to this many mean spacings are searched for in a tree."""
_VOXELS_PER_QUERY = 300
"""A far query costs about as much as the distance transform of so many voxels."""
_ROUNDING_MM = 1e-4
"""A distance that equals the tolerance must not fall behind it by rounding."""


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances from the elements of each surface to the nearest element of the other, ascending.

    Attributes:
        to_reference_mm: (P,) from the prediction's elements.
        prediction_areas_mm2: (P,) their areas.
        to_prediction_mm: (R,) from the reference's elements.
        reference_areas_mm2: (R,) their areas.
    """

    to_reference_mm: Floats
    prediction_areas_mm2: Floats
    to_prediction_mm: Floats
    reference_areas_mm2: Floats

    def hausdorff_mm(self, percent: float) -> float:
        """Larger of both directions' area-weighted percentiles."""
        return max(
            _percentile(self.to_reference_mm, self.prediction_areas_mm2, percent),
            _percentile(self.to_prediction_mm, self.reference_areas_mm2, percent),
        )

    def average_mm(self) -> float:
        """Average symmetric surface distance: the area-weighted mean over both surfaces together."""
        weighted = self.to_reference_mm @ self.prediction_areas_mm2 + self.to_prediction_mm @ self.reference_areas_mm2
        return float(weighted / (self.prediction_areas_mm2.sum() + self.reference_areas_mm2.sum()))

    def dice_within(self, tolerance_mm: float) -> float:
        """Normalised surface Dice: share of both surfaces' area not farther than the tolerance from the other."""
        limit = tolerance_mm + _ROUNDING_MM
        within = (
            self.prediction_areas_mm2[self.to_reference_mm <= limit].sum()
            + self.reference_areas_mm2[self.to_prediction_mm <= limit].sum()
        )
        return float(within / (self.prediction_areas_mm2.sum() + self.reference_areas_mm2.sum()))


def surface_distances(
    prediction: Mask,
    reference: Mask,
    *,
    spacing_mm: Sequence[float],
    ignored: Mask | None = None,
    planar: bool = False,
) -> SurfaceDistances | None:
    """Measure two masks (Z, Y, X); None where a surface has no element to measure from.

    The outside of the array counts as background.

    Args:
        prediction: Best cropped to the box of both masks: the time goes with the size of the array.
        reference: Same shape.
        spacing_mm: Along (z, y, x).
        ignored: Voxels that were not annotated. Elements that touch one are not measured from, since they may be the
            border of what was annotated.
        planar: The image is one slice: measure its contours, not the faces above and below it.
    """
    codes = [neighbour_codes(mask, planar=planar) for mask in (prediction, reference)]
    surfaces = [_is_surface(code) for code in codes]
    counted = surfaces
    if ignored is not None:
        known = neighbour_codes(ignored, planar=planar) == 0
        counted = [surface & known for surface in surfaces]
    if not (counted[0].any() and counted[1].any()):
        return None
    areas = element_areas_mm2(tuple(float(value) for value in spacing_mm))
    measured = []
    for this, other in ((0, 1), (1, 0)):
        distances = nearest_mm(counted[this], surfaces[other], spacing_mm)
        order = np.argsort(distances)
        measured.append((distances[order], areas[codes[this][counted[this]]][order]))
    return SurfaceDistances(*measured[0], *measured[1])


def neighbour_codes(mask: Mask, *, planar: bool = False) -> Codes:
    """Which of the eight voxels around each corner are set: bit 4 z + 2 y + x; shape one larger along each axis.

    A planar mask is one slice, repeated instead of closed above and below; it yields one plane of codes.
    """
    voxels = mask.view(np.uint8)
    padded = np.pad(voxels, ((0, 1) if planar else (1, 1), (1, 1), (1, 1)))
    if planar:
        padded[1] = padded[0]
    pairs = padded[:, :, :-1] | (padded[:, :, 1:] << 1)
    squares = pairs[:, :-1] | (pairs[:, 1:] << 2)
    return (squares[:-1] | (squares[1:] << 4)).astype(np.uint8, copy=False)


@functools.lru_cache(maxsize=64)
def element_areas_mm2(spacing_mm: tuple[float, ...]) -> Floats:
    """Area of the marching-cubes surface for each of the 256 neighbour codes.

    Marching cubes (Lorensen and Cline, SIGGRAPH 1987) separates the corners in the minority from the rest; corners
    joined by an edge of the cube are cut off by one polygon. So the area is a sum over edge-connected groups, and there
    are six kinds of group.
    """
    # Area vectors scale by the faces' areas; with e the axis vectors, `face` holds |e_z|, |e_y|, |e_x|.
    z, y, x = spacing_mm
    face = np.array([y * x, z * x, z * y])
    areas = np.zeros(256)
    for code in range(1, 255):
        corners = tuple(corner for bit, corner in enumerate(_CORNERS) if code >> bit & 1)
        if len(corners) > 4:
            corners = tuple(corner for corner in _CORNERS if corner not in corners)
        areas[code] = sum(_group_area(group, face) for group in _groups(corners))
    return areas


def _groups(corners: Sequence[Corner]) -> list[list[Corner]]:
    """Corners joined by edges of the cube."""
    groups: list[list[Corner]] = []
    for corner in corners:
        touching = [group for group in groups if any(_edge_axis(corner, other) is not None for other in group)]
        groups = [group for group in groups if group not in touching]
        groups.append([corner, *itertools.chain.from_iterable(touching)])
    return groups


def _edge_axis(one: Corner, other: Corner) -> int | None:
    axes = [axis for axis in range(3) if one[axis] != other[axis]]
    return axes[0] if len(axes) == 1 else None


def _group_area(group: Sequence[Corner], face: Floats) -> float:
    """Area of the polygon that cuts one group off, through the midpoints of the cut edges."""
    edges = [axis for one, other in itertools.combinations(group, 2) if (axis := _edge_axis(one, other)) is not None]
    oblique = float(np.linalg.norm(face))  # eight times the triangle that cuts off one corner

    def without(axis: int) -> float:
        """Length of the area vector (1, 1, 1) without the component of `axis`."""
        return float(np.linalg.norm(np.delete(face, axis)))

    if len(group) == 1:
        return oblique / 8
    if len(group) == 2:  # a rectangle along the shared edge
        return without(edges[0]) / 2
    if len(group) == 3:  # an L: half the cube's face in its plane, and an oblique rest
        (normal,) = {0, 1, 2} - set(edges)
        return float(face[normal]) / 2 + 3 * oblique / 8
    if len(edges) == 4:  # a face: a square
        (normal,) = {0, 1, 2} - set(edges)
        return float(face[normal])
    degrees = {corner: sum(_edge_axis(corner, other) is not None for other in group) for corner in group}
    if max(degrees.values()) == 3:  # a corner and its three neighbours: a plane hexagon
        return 6 * oblique / 8
    inner = [corner for corner, degree in degrees.items() if degree == 2]
    middle = _edge_axis(inner[0], inner[1])
    ends = [axis for axis in range(3) if axis != middle]
    # A chain: two oblique triangles, and one rectangle's half at each end.
    return (4 * oblique + 2 * sum(without(axis) for axis in ends)) / 8


def _is_surface(codes: Codes) -> Mask:
    # 0 and 255 are the codes without surface: adding 1 wraps them to 1 and 0.
    return (codes + np.uint8(1)) > 1


def nearest_mm(elements: Mask, surface: Mask, spacing_mm: Sequence[float]) -> Floats:
    """Distance (mm) of every element to the nearest of `surface`, in the order of `elements[elements]`.

    A search tree over the surface beats a distance transform of the whole box, of which only the elements are used:
    7x faster for a liver at Dice 0.998, 3x at 0.97, 2x at 0.91. Only many far elements are slower in the tree (8 s
    instead of 0.6 s for a sphere against a full box); those are left to the transform.
    """
    apart = ~surface[elements]  # most elements of a good prediction lie on the other surface
    distances = np.zeros(len(apart))
    if not apart.any():
        return distances
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    places = np.argwhere(elements)[apart]
    # Balancing the tree costs more than it saves for points that lie this evenly.
    tree = KDTree(np.argwhere(surface) * spacing, balanced_tree=False, compact_nodes=False)
    found = tree.query(places * spacing, distance_upper_bound=_NEAR_SPACINGS * spacing.mean())[0]
    far = np.isinf(found)
    if np.count_nonzero(far) * _VOXELS_PER_QUERY > surface.size:
        squared = edt.edtsq((~surface).view(np.uint8), anisotropy=tuple(spacing), black_border=False, parallel=1)
        found[far] = np.sqrt(squared[tuple(places[far].T)].astype(np.float64))
    elif far.any():
        found[far] = tree.query(places[far] * spacing)[0]
    distances[apart] = found
    return distances


def _percentile(distances_mm: Floats, areas_mm2: Floats, percent: float) -> float:
    """Smallest distance that at least `percent` of the area does not exceed."""
    share = np.cumsum(areas_mm2) / areas_mm2.sum()
    index = int(np.searchsorted(share, percent / 100))
    return float(distances_mm[min(index, len(distances_mm) - 1)])
