"""A synthetic skull-stripped brain with a glioma in four MR sequences; background is exactly zero.

Distances are millimetres, intensities are shares of white matter in T1. Labels are those of the Decathlon's brain
task: 1 oedema, 2 non-enhancing tumour and necrosis, 3 enhancing tumour.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dataset_conversion._phantom_scene import Field, Scene, intersection, smooth_union, union

CHANNELS = ("FLAIR", "T1w", "T1gd", "T2w")
EDEMA, CORE, ENHANCING = 1, 2, 3

# FLAIR, T1w, T1gd, T2w
_FLUID = (0.13, 0.30, 0.30, 1.75)
_GREY = (0.78, 0.72, 0.76, 0.86)
_WHITE = (0.60, 1.00, 1.02, 0.56)
_DEEP = (0.70, 0.82, 0.86, 0.68)
_VESSEL = (0.30, 0.60, 1.70, 0.25)
_EDEMA = (1.35, 0.70, 0.74, 1.30)
_CORE = (1.05, 0.58, 0.60, 1.15)
_NECROSIS = (0.62, 0.42, 0.44, 1.60)
_RIM = (1.15, 0.68, 1.65, 0.95)


def brain(scene: Scene, *, enhancing: bool) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Four channels (C, Z, Y, X) and labels (Z, Y, X)."""
    outline, folds = _surface(scene)
    tissue = [np.zeros(scene.shape, np.float32) for _ in CHANNELS]
    ribbon = intersection(outline + 1.8, -folds)
    _paint(scene, tissue, outline, _FLUID)
    _paint(scene, tissue, ribbon, _GREY)
    white = intersection(outline + 5.5, 3.2 - folds)
    _paint(scene, tissue, white, _WHITE)
    _hindbrain(scene, tissue, outline)
    _deep(scene, tissue)
    labels = _glioma(scene, tissue, white, enhancing=enhancing)
    mask = outline < 0
    labels[~mask] = 0
    return _scan(scene, tissue, mask), labels


def _paint(scene: Scene, tissue: list[Field], distance: Field, values: tuple[float, ...]) -> None:
    for image, value in zip(tissue, values, strict=True):
        scene.paint(image, distance, value)


def _surface(scene: Scene) -> tuple[Field, Field]:
    """Signed distances of the brain's outline and of its sulci and fissures."""
    _, _, x = scene.axes()
    size = scene.draw(0.94, 1.05)
    cerebrum = scene.ellipsoid((12, 0, 0), (50 * size, 81 * size, 63 * size))
    for side in (-1, 1):
        temporal = scene.ellipsoid((-26, -8, 41 * side), (23, 38, 21))
        cerebrum = smooth_union(cerebrum, temporal, 8)
    outline = smooth_union(cerebrum + 0.8 * scene.noise(14), _cerebellum(scene), 3)
    outline = smooth_union(outline, scene.tube((-18, 16, 0), (-90, 32, 0), 11), 4)
    folds = _sulci(scene, outline, radius_mm=66.0)
    core = scene.ellipsoid((4, -2, 0), (27, 50, 30))
    fissure = intersection(np.broadcast_to(np.abs(x) - 1.1, scene.shape), -core)
    folds = union(folds, fissure)
    for side in (-1, 1):
        folds = union(folds, scene.tube((-8, -26, 38 * side), (6, 22, 49 * side), 1.6))
    return outline, folds


def _cerebellum(scene: Scene) -> Field:
    return union(*(scene.ellipsoid((-36, 46, 22 * side), (25, 28, 27)) for side in (-1, 1)))


def _sulci(scene: Scene, outline: Field, *, radius_mm: float) -> Field:
    """Zero lines of noise on a sphere, carried inwards along the radius to a varying depth."""
    sigma_mm = 3.2
    step = sigma_mm * np.sqrt(3)
    knots = int(2 * radius_mm / step) + 8
    lattice = scene.generator.standard_normal((knots, knots, knots), dtype=np.float32)
    lattice /= np.float32(0.33)  # standard deviation of a sum of cubic B-splines in 3D
    depths = scene.noise(16)
    z, y, x = np.broadcast_arrays(*scene.axes())
    radius = np.sqrt((z / 0.85) ** 2 + (y / 1.2) ** 2 + x**2) + 1e-3
    scale = radius_mm / radius / step
    points = np.stack([z * scale / 0.85, y * scale / 1.2, x * scale]) + knots / 2
    pattern = ndimage.map_coordinates(lattice, points, order=3, prefilter=False, mode="wrap")
    distance = np.abs(pattern) * np.float32(np.sqrt(2) * sigma_mm) * np.minimum(radius / radius_mm, 1)
    depth = np.clip(17 + 5 * depths, 8, 26)
    return np.asarray(np.maximum(distance - 0.8, -outline - depth), np.float32)


def _hindbrain(scene: Scene, tissue: list[Field], outline: Field) -> None:
    """Cerebellum with its leaves and white core, and the brain stem."""
    cerebellum = intersection(_cerebellum(scene) + 1.5, outline + 1.5)
    leaves = np.sin(_cerebellum(scene) * 1.1 + 1.5 * scene.noise(6))
    _paint(scene, tissue, cerebellum, _GREY)
    _paint(scene, tissue, intersection(cerebellum, (leaves - 0.75) * 2), _FLUID)
    for side in (-1, 1):
        core = scene.ellipsoid((-36, 41, 19 * side), (10, 14, 15)) + 2.5 * scene.noise(4)
        _paint(scene, tissue, intersection(core, cerebellum), _WHITE)
    stem = union(scene.tube((-14, 14, 0), (-90, 32, 0), 10), scene.ellipsoid((-36, 13, 0), (14, 12, 17)))
    _paint(scene, tissue, intersection(stem, outline + 1), tuple(0.92 * value for value in _WHITE))
    _paint(scene, tissue, scene.ellipsoid((-40, 31, 0), (9, 4, 7)), _FLUID)


def _deep(scene: Scene, tissue: list[Field]) -> None:
    """Corpus callosum, deep grey nuclei and ventricles."""
    width = scene.draw(0.85, 1.6)
    _paint(scene, tissue, scene.ellipsoid((4, -2, 0), (26, 46, 24)), _WHITE)
    for side in (-1, 1):
        _paint(scene, tissue, scene.ellipsoid((3, 7, 11 * side), (11, 15, 9)), _DEEP)
        _paint(scene, tissue, scene.ellipsoid((1, -8, 25 * side), (12, 18, 5), tilt_degrees=10 * side), _DEEP)
        _paint(scene, tissue, scene.ellipsoid((15, -20, 15 * side), (10, 15, 5), tilt_degrees=12 * side), _DEEP)
        horns = smooth_union(
            scene.tube((9, -36, 13 * side), (20, -8, 8 * side), 3.6 * width),
            scene.tube((20, -8, 8 * side), (12, 30, 20 * side), 4.2 * width),
            5,
        )
        horns = smooth_union(horns, scene.tube((12, 30, 20 * side), (2, 54, 24 * side), 3 * width), 5)
        horns = smooth_union(horns, scene.tube((10, 32, 22 * side), (-20, 4, 36 * side), 1.8 * width), 4)
        _paint(scene, tissue, horns + 0.4 * scene.noise(8), _FLUID)
        _paint(scene, tissue, scene.tube((14, 24, 18 * side), (9, 32, 21 * side), 1.8), _VESSEL)
    _paint(scene, tissue, scene.ellipsoid((0, 2, 0), (9, 15, 1.6 * width)), _FLUID)


def _glioma(scene: Scene, tissue: list[Field], white: Field, *, enhancing: bool) -> npt.NDArray[np.uint8]:
    """Oedema that follows white matter, a core, and an enhancing rim about necrosis where `enhancing`."""
    labels = np.zeros(scene.shape, np.uint8)
    z, y, x = scene.axes()
    eligible = (white < -1) & (z > -14) & (np.abs(x) > 12) & (np.abs(y) < 55)
    places = np.argwhere(eligible)
    index = places[scene.generator.integers(len(places))]
    centre = [float(axis.ravel()[position]) for axis, position in zip((z, y, x), index, strict=True)]
    radius = scene.draw(9, 20)
    stretch = [float(value) for value in scene.generator.uniform(0.8, 1.3, 3)]
    ball = scene.ellipsoid(
        (centre[0], centre[1], centre[2]), (radius * stretch[0], radius * stretch[1], radius * stretch[2])
    )
    core = ball + 0.16 * radius * scene.noise(7)
    swelling = intersection(
        ball - scene.draw(0.5, 1.1) * radius + 4 * scene.noise(9), white - 2.5 + 1.5 * scene.noise(5)
    )
    for distance, values, label in ((swelling, _EDEMA, EDEMA), (core, _CORE, CORE)):
        _paint(scene, tissue, distance, values)
        labels[distance < 0] = label
    if enhancing:
        thickness = np.maximum(3.2 + 1.6 * scene.noise(8), 1.0)
        rim = intersection(core, -core - thickness)
        _paint(scene, tissue, core + thickness, _NECROSIS)
        _paint(scene, tissue, rim, _RIM)
        labels[rim < 0] = ENHANCING
    return labels


def _scan(scene: Scene, tissue: list[Field], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int16]:
    """Coil shading, blur, noise and an arbitrary gain per sequence, as MR has no unit."""
    channels = np.zeros((len(tissue), *scene.shape), np.int16)
    shading = np.exp(0.06 * scene.noise(45))
    for index, image in enumerate(tissue):
        texture = image * (1 + 0.03 * scene.noise(4))
        blurred = ndimage.gaussian_filter(texture * shading, 0.4)
        noise = scene.draw(0.015, 0.035) * scene.generator.standard_normal(scene.shape, dtype=np.float32)
        signal = np.sqrt(np.maximum(blurred + noise, 0) ** 2 + noise[::-1] ** 2)  # Rician: never negative
        channels[index] = np.where(mask, np.maximum(np.rint(signal * scene.draw(250, 700)), 1), 0)
    return channels
