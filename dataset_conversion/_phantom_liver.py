"""The liver of the CT phantom: lobes, fissure, gallbladder, vessels and tumours, in HU and millimetres."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dataset_conversion._phantom_scene import Field, Scene, intersection, smooth_union, union


def paint_liver(scene: Scene, image: Field, space: Field) -> tuple[Field, float]:
    """Paint a liver inside `space` (a signed distance) and return its signed distance and attenuation."""
    size = scene.draw(0.9, 1.08)
    right = scene.ellipsoid((-2, 2, -76), (82 * size, 78 * size, 68 * size), tilt_degrees=scene.draw(-12, 8))
    tail = scene.ellipsoid((-52, 14, -96), (48, 46 * size, 36), tilt_degrees=-8)
    left = scene.ellipsoid(
        (scene.draw(6, 20), -46, scene.draw(2, 20)), (32, 38, scene.draw(66, 88)), tilt_degrees=scene.draw(0, 14)
    )
    caudate = scene.ellipsoid((12, 8, -22), (28, 20, 20))
    shape = smooth_union(smooth_union(right, tail, 12), left, scene.draw(14, 26))
    shape = smooth_union(shape, caudate, 10) + scene.draw(2, 4) * scene.noise(26)
    # The fissure of the falciform ligament and the hilum are notches of fat.
    fissure = scene.tube((-20, -60, -14), (30, -100, -22), 7)
    hilum = scene.tube((-30, 2, -34), (-6, -10, -46), 13)
    outside = union(fissure, hilum, scene.tube((70, 16, -22), (-200, 26, -20), 12))
    liver = intersection(shape, -outside, space)
    gallbladder = scene.ellipsoid((-44, -34, -52), (26, 20, 15), tilt_degrees=20)
    liver = _largest(intersection(liver, -(gallbladder + 0.5)), scene)
    value = scene.draw(98, 124)
    scene.paint(image, liver - 2.5, -55.0)  # a rind of fat, or thin tips of the liver would mix with gas of the bowel
    scene.paint(image, liver, value + 3.5 * scene.noise(5))
    _vessels(scene, image, liver, value + scene.draw(28, 48))
    scene.paint(image, gallbladder, 45.0)
    scene.paint(image, gallbladder + 2.5, 8.0)
    return liver, value


def _largest(distance: Field, scene: Scene) -> Field:
    """Push all but the largest piece outside."""
    pieces, count = ndimage.label(distance < 0)
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        distance = np.where((pieces > 0) & (pieces != sizes.argmax()), np.float32(scene.spacing_mm[2]), distance)
    return distance


def _vessels(scene: Scene, image: Field, liver: Field, value: float) -> None:
    """Portal tree from the hilum and three hepatic veins to the vena cava, each with random branches."""
    inside = liver + 4
    hilum, cava = (-8.0, -2.0, -42.0), (42.0, 14.0, -26.0)
    roots = [(hilum, 5.2, end) for end in ((8.0, 10.0, -92.0), (-30.0, 16.0, -98.0), (20.0, -44.0, 8.0))]
    roots += [(cava, 4.6, end) for end in ((0.0, 30.0, -110.0), (4.0, -34.0, -72.0), (26.0, -48.0, 16.0))]
    tree = [scene.tube((-30.0, 6.0, -16.0), hilum, 6.5)]
    for start, radius, end in roots:
        tree.append(scene.tube(start, end, radius * 0.7))
        for _ in range(4):
            share = scene.draw(0.35, 1.0)
            fork = [a + share * (b - a) for a, b in zip(start, end, strict=True)]
            tip = [coordinate + scene.draw(-32, 32) for coordinate in fork]
            tree.append(scene.tube((fork[0], fork[1], fork[2]), (tip[0], tip[1], tip[2]), radius * 0.4))
    vessels = intersection(union(*tree) + 0.8 * scene.noise(9), inside)
    scene.paint(image, vessels, value)


def paint_tumours_of(
    scene: Scene, image: Field, liver: Field, *, share: float, value: float, contrast_hu: tuple[float, float]
) -> npt.NDArray[np.bool_]:
    """Paint one or two lesions that together are a share of the liver, and return their mask.

    They are like those of `paint_tumours`; their outline is moved until the volume is right, to the voxel.
    """
    inside = liver < -1
    wanted = max(1, round(share * int((liver < 0).sum())))
    count = 1 if scene.draw(0, 1) < 0.5 else 2
    radius = (3 * wanted * float(np.prod(scene.spacing_mm)) / (4 * np.pi * count)) ** (1 / 3)
    depth = np.argwhere(liver < min(-0.6 * radius, float(np.quantile(liver[inside], 0.2))))
    warp = scene.noise(9)
    lesions = []
    for _ in range(count):
        index = depth[scene.generator.integers(len(depth))]
        z, y, x = (float(axis.ravel()[position]) for axis, position in zip(scene.axes(), index, strict=True))
        first, second, third = (radius * float(stretch) for stretch in scene.generator.uniform(0.85, 1.2, 3))
        lesion = scene.ellipsoid((z, y, x), (first, second, third), tilt_degrees=scene.draw(-60, 60))
        lesions.append(lesion + 0.1 * radius * warp)
    outline = union(*lesions)
    limit = np.partition(outline[inside], wanted - 1)[wanted - 1]
    mask: npt.NDArray[np.bool_] = inside & (outline <= limit)
    for lesion in lesions:
        contrast = scene.draw(*contrast_hu)
        distance = intersection(lesion - limit, liver + 1)
        scene.paint(image, distance, value - contrast + 4 * scene.noise(5), edge_mm=5)
    return mask


def paint_tumours(
    scene: Scene, image: Field, liver: Field, *, tumours: int, value: float, contrast_hu: tuple[float, float]
) -> npt.NDArray[np.bool_]:
    """Paint hypodense lesions into the liver and return their mask; some have a rim, some a necrotic centre."""
    mask = np.zeros(scene.shape, bool)
    if not tumours:
        return mask
    warp = scene.noise(9)
    for _ in range(tumours):
        radius = float(np.exp(scene.draw(np.log(7), np.log(26))))
        depth = np.argwhere(liver < -0.6 * radius)
        if not len(depth):
            continue
        index = depth[scene.generator.integers(len(depth))]
        centre = [float(axis.ravel()[position]) for axis, position in zip(scene.axes(), index, strict=True)]
        stretch = scene.generator.uniform(0.8, 1.25, 3)
        radii = (radius * float(stretch[0]), radius * float(stretch[1]), radius * float(stretch[2]))
        lesion = scene.ellipsoid((centre[0], centre[1], centre[2]), radii, tilt_degrees=scene.draw(-60, 60))
        lesion = intersection(lesion + 0.1 * radius * warp, liver + 1)
        contrast = scene.draw(*contrast_hu)
        scene.paint(image, lesion, value - contrast + 4 * scene.noise(5), edge_mm=5)
        if radius > 14 and scene.draw(0, 1) < 0.5:
            scene.paint(image, lesion + 0.45 * radius + warp, value - contrast - 25, edge_mm=6)
        elif scene.draw(0, 1) < 0.3:
            scene.paint(image, np.abs(lesion + 1.5) - 1.5, value + 12, edge_mm=4)
        mask |= lesion < 0
    return mask
