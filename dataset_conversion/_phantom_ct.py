"""A synthetic contrast-enhanced CT of the upper abdomen in HU, with a liver and its tumours labelled.

Distances are millimetres; attenuation values are typical of the portal-venous phase (liver 100 to 125 HU, spleen
120, blood 150, muscle 60, fat -100).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dataset_conversion._phantom_liver import paint_liver, paint_tumours, paint_tumours_of
from dataset_conversion._phantom_scene import Field, Scene, intersection, smooth_union, union

_AIR, _FAT, _MUSCLE, _BONE, _MARROW = -1000.0, -102.0, 58.0, 420.0, 190.0
LIVER, TUMOUR = 1, 2


@dataclass(frozen=True)
class _Body:
    """Outline and landmarks shared by the organs."""

    skin: Field
    wall: Field
    cavity: Field
    below_diaphragm: Field
    dome_mm: float


def abdomen(
    scene: Scene, tumours: int, *, share: float | None = None, contrast_hu: tuple[float, float] = (26.0, 52.0)
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """HU and labels (Z, Y, X).

    Args:
        scene: Grid and draws.
        tumours: Lesions of any size.
        share: Of the liver that lesions are, instead of their number.
        contrast_hu: Least and most that a lesion is below the liver.
    """
    image = np.full(scene.shape, _AIR, np.float32)
    body = _outline(scene)
    _couch(scene, image)
    _trunk(scene, image, body)
    _lungs(scene, image, body)
    _bowel(scene, image, body)
    _organs(scene, image, body)
    _bones(scene, image, body)
    space = intersection(body.cavity + 3, body.below_diaphragm + 2)
    liver, value = paint_liver(scene, image, space)
    if share is None:
        lesions = paint_tumours(scene, image, liver, tumours=tumours, value=value, contrast_hu=contrast_hu)
    else:
        lesions = paint_tumours_of(scene, image, liver, share=share, value=value, contrast_hu=contrast_hu)
    labels = np.where(liver < 0, LIVER, 0).astype(np.uint8)
    labels[lesions] = TUMOUR
    return _scan(scene, image), labels


def _outline(scene: Scene) -> _Body:
    z, y, x = scene.axes()
    width, depth = scene.draw(158, 178), scene.draw(108, 124)
    taper = 1 - 0.06 * (z / 120) ** 2 + 0.015 * np.sin(z / 35)
    exponent = 2.35  # a trunk is squarer than an ellipse
    radius = (np.abs(x / (width * taper)) ** exponent + np.abs((y - 4) / (depth * taper)) ** exponent) ** (1 / exponent)
    # The back is flattened by the couch, the spine leaves a groove.
    back = y - (depth * 0.93 - 5 * np.exp(-((x / 22) ** 2)))
    skin = intersection((radius - 1) * depth, back)
    fat = scene.draw(9, 24)
    front = np.clip(-y / depth, 0, 1)
    wall = skin + fat * (0.75 + 0.5 * front) + 1.5 * scene.noise(40)
    cavity = wall + 13 + 3 * np.clip(y / depth, 0, 1)
    dome = scene.draw(48, 66)
    right = dome - ((x + 72) ** 2 / 165 + (y + 8) ** 2 / 190)
    left = dome - scene.draw(8, 16) - ((x - 72) ** 2 / 175 + (y - 2) ** 2 / 185)
    ceiling = np.maximum(right, left)
    return _Body(skin, wall, cavity, np.asarray(z - ceiling, np.float32), dome)


def _couch(scene: Scene, image: Field) -> None:
    _, y, x = scene.axes()
    surface = y - (124 - x**2 / 1500)
    couch = np.abs(surface - 12) - 1.6
    scene.paint(image, np.broadcast_to(np.maximum(couch, np.abs(x) - 190), scene.shape), -280.0)
    scene.paint(image, np.broadcast_to(np.maximum(np.abs(surface - 16) - 3, np.abs(x) - 185), scene.shape), -930.0)


def _trunk(scene: Scene, image: Field, body: _Body) -> None:
    scene.paint(image, body.skin, 10.0)
    scene.paint(image, body.skin + 2.5, _FAT + 5 * scene.noise(12))
    scene.paint(image, body.wall, _MUSCLE + 4 * scene.noise(6))
    # Thin layers of fat part the muscles of the wall.
    scene.paint(image, np.abs(body.wall + 7 + scene.noise(20)) - 0.7, -40.0)
    scene.paint(image, body.cavity, _FAT + 8 + 9 * scene.noise(8))


def _lungs(scene: Scene, image: Field, body: _Body) -> None:
    z, _, x = scene.axes()
    lung = intersection(body.cavity + 1, -body.below_diaphragm)
    heart = scene.ellipsoid((body.dome_mm + 32, -32, 26), (38, 46, 56), tilt_degrees=25)
    middle = intersection(np.broadcast_to(np.abs(x) - 24, scene.shape), scene.ellipsoid((60, 25, 0), (200, 70, 40)))
    texture = scene.noise(5)
    scene.paint(image, lung, -835 + 22 * scene.noise(18) + 45 * np.clip(texture - 1.2, 0, 2) ** 2 * 4)
    scene.paint(image, intersection(middle, lung), _FAT + 15)
    above = np.asarray(np.broadcast_to(body.dome_mm - 12 - z, scene.shape), np.float32)
    scene.paint(image, intersection(heart, above), _FAT + 10)
    scene.paint(image, intersection(heart + 5, above), 115 + 22 * np.tanh(2 * scene.noise(14)))


def _bowel(scene: Scene, image: Field, body: _Body) -> None:
    """Loops of bowel below the stomach: iso-surfaces of noise, with gas on top, in mesenteric fat."""
    z, y, _ = scene.axes()
    field = scene.noise(11)
    region = intersection(body.cavity + 7, np.broadcast_to(y - 38, scene.shape), np.broadcast_to(z + 18, scene.shape))
    loops = intersection((0.1 - field) * 11, region)
    scene.paint(image, loops, 48 + 8 * scene.noise(6))
    scene.paint(image, loops + 5, 22 + 14 * scene.noise(9))
    gas = intersection(loops + 6, np.broadcast_to(y + 25, scene.shape), (0.7 - scene.noise(20)) * 15)
    scene.paint(image, gas, -820.0)


def _organs(scene: Scene, image: Field, body: _Body) -> None:
    blood = scene.draw(135, 175)
    _retroperitoneum(scene, image, blood)
    inside = body.cavity + 2
    under = body.below_diaphragm + 3
    spleen = scene.ellipsoid((scene.draw(0, 18), 42, 108), (scene.draw(42, 58), 44, 24), tilt_degrees=-28)
    spleen = intersection(spleen + 2 * scene.noise(18), inside, under)
    scene.paint(image, spleen, 122 + 5 * scene.noise(5))
    stomach = smooth_union(
        scene.ellipsoid((20, 0, 72), (42, 36, 33), tilt_degrees=-20),
        scene.ellipsoid((-16, -48, 34), (20, 24, 46), tilt_degrees=12),
        18,
    )
    stomach = intersection(stomach + 2 * scene.noise(20), inside, under)
    scene.paint(image, stomach, 75.0)
    scene.paint(image, stomach + 4.5, 28 + 16 * scene.noise(10))
    _, y, _ = scene.axes()
    level = scene.draw(-30, -8)
    scene.paint(image, intersection(stomach + 5, np.broadcast_to(y - level, scene.shape)), -860.0)
    pancreas = smooth_union(
        scene.tube((-14, 4, -22), (-4, -8, 22), 12), scene.tube((-4, -8, 22), (10, 22, 78), 9), 8
    ) + 2 * scene.noise(7)
    scene.paint(image, pancreas, 92 + 9 * scene.noise(5))


def _retroperitoneum(scene: Scene, image: Field, blood: float) -> None:
    """Kidneys, psoas, aorta and vena cava."""
    for side in (-1, 1):
        z_mm = -38 + 8 * side + scene.draw(-8, 8)
        kidney = scene.ellipsoid((z_mm, 46, 64 * side), (50, 27, 24), tilt_degrees=28 * side) + scene.noise(15)
        scene.paint(image, kidney, 195.0)
        pyramids = intersection(kidney + 8, (0.1 - scene.noise(7)) * 7)
        scene.paint(image, pyramids, 150.0)
        sinus = scene.ellipsoid((z_mm, 42, 53 * side), (26, 9, 13), tilt_degrees=28 * side)
        scene.paint(image, sinus, _FAT + 12)
        scene.paint(image, scene.tube((z_mm, 40, 52 * side), (z_mm + 6, 33, 16 * side), 4.5), blood)
        psoas = scene.tube((-5, 55, 26 * side), (-130, 45, 48 * side), 15)
        scene.paint(image, psoas, _MUSCLE)
    scene.paint(image, scene.tube((200, 30, 14), (-200, 26, 12), scene.draw(9, 12)), blood + 10)
    scene.paint(image, scene.tube((70, 14, -22), (-200, 26, -20), scene.draw(10, 13)), blood - 12)
    scene.paint(image, scene.tube((6, 24, 12), (2, 0, 12), 4), blood + 8)


def _bones(scene: Scene, image: Field, body: _Body) -> None:
    z, y, x = scene.axes()
    period, phase = 33.0, scene.draw(0, 33)
    height = np.abs(np.mod(z + phase, period) - period / 2)  # 0 at mid-vertebra
    vertebra = scene.ellipsoid((0, 57, 0), (1e4, 17, 22)) + 0.12 * (12 - np.minimum(height, 12))
    disc = np.broadcast_to(13 - height, scene.shape)
    for side in (-1, 1):
        muscle = scene.ellipsoid((0, 92, 31 * side), (1e4, 15, 28), tilt_degrees=-12 * side)
        scene.paint(image, muscle, _MUSCLE - 5 + 8 * scene.noise(5))
    level = np.broadcast_to(height - 9, scene.shape)
    arch = np.abs(scene.ellipsoid((0, 82, 0), (1e4, 12, 14))) - 3
    spinous = intersection(
        np.broadcast_to(np.abs(x) - 3.2, scene.shape), np.broadcast_to(np.abs(y - 101) - 10, scene.shape)
    )
    transverse = intersection(
        np.broadcast_to(np.abs(y - 82 - np.abs(x) / 6) - 4, scene.shape), np.broadcast_to(np.abs(x) - 40, scene.shape)
    )
    posterior = union(intersection(spinous, level), intersection(transverse, level + 4), intersection(arch, level - 3))
    _bone(scene, image, posterior)
    scene.paint(image, scene.ellipsoid((0, 82, 0), (1e4, 8, 10)), 25.0)
    _bone(scene, image, vertebra)
    scene.paint(image, intersection(vertebra + 1, disc), 95.0)
    # Ribs run in the wall and descend towards the front.
    lateral = np.abs(np.mod(z + phase - 0.32 * y + 0.0005 * y**2, 31.0) - 15.5) - 5.0
    ribs = intersection(np.abs(body.cavity - 2.5) - 3.6, lateral, np.broadcast_to(-z - 45 - 0.9 * y, scene.shape))
    ribs = intersection(ribs, np.broadcast_to(26 - np.abs(x), scene.shape))
    _bone(scene, image, ribs)


def _bone(scene: Scene, image: Field, distance: Field) -> None:
    scene.paint(image, distance, _BONE)
    scene.paint(image, distance + 3.5, _MARROW + 35 * scene.noise(3))


def _scan(scene: Scene, image: Field) -> npt.NDArray[np.int16]:
    """Blur of the scanner, and noise that is correlated in-plane and stronger in the middle of the body."""
    blurred = ndimage.gaussian_filter(image, (0.35, 0.5, 0.5))
    _, y, x = scene.axes()
    white = scene.generator.standard_normal(scene.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(white, (0, 0.55, 0.55))
    noise *= np.float32(scene.draw(9, 15)) / noise.std()
    strength = 0.55 + 0.6 * np.exp(-((x / 130) ** 2) - (y / 90) ** 2)
    return np.asarray(np.clip(np.rint(blurred + strength * noise), -1024, 1800), dtype=np.int16)
