"""Rows of the ratchet: autoseg's stages on made-up cases, each beside the plain loop that does the same work."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import nn

from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._pipeline import Pipeline
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.devices.precision import choose_precision, cpu_prefers_bfloat16, torch_dtype
from autoseg.inference.export import labels_on_native_grid
from autoseg.inference.sliding import predict_logits
from autoseg.io.case_store import StoredCase, save_case
from autoseg.metrics.surface import surface_distances
from autoseg.planning.methods import load_method
from autoseg.preprocessing.case import preprocess_case
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.plan import Configuration, Preprocessing, Resampling, Topology
from autoseg.training.assembly import Recipe, assemble
from autoseg.training.loader import Batch
from autoseg.training.step import gradient_step
from benchmarks import _reference as plain
from benchmarks._ours import plain_record
from benchmarks.ratchet import Pair, RowMaker

LABELS: dict[str, int | tuple[int, ...]] = {"background": 0, "liver": 1, "tumour": 2}
SPACING_MM, TARGET_MM = (2.0, 0.8, 0.8), (1.5, 1.5, 1.5)
PATCH = (40, 40, 40)
FEATURES = (16, 32, 64)
METHOD = "nnunet"


def one_thread() -> None:
    """CPU time is then the same whatever else runs, and no thread waits for another."""
    torch.set_num_threads(1)


def start_up(_folder: Path) -> Pair:
    """`autoseg --help`, and an interpreter that imports numpy."""
    return Pair(
        ours=lambda: _call("-m", "autoseg", "--help"),
        reference=lambda: _call("-c", "import numpy"),
    )


def preprocess(_folder: Path) -> Pair:
    """A CT-like case of 36 x 144 x 144 voxels to 1.5 mm."""
    image, labels = _case(0, (36, 144, 144))
    geometry, choices = Geometry(labels.shape, SPACING_MM), _preprocessing(TARGET_MM)
    space = LabelSpace.parse(LABELS)
    return Pair(
        ours=lambda: preprocess_case(image, geometry, labels, choices, space),
        reference=lambda: plain.preprocess(image, labels, spacing_mm=SPACING_MM, target_mm=TARGET_MM),
    )


def load(folder: Path) -> Pair:
    """Raw batches of stored cases, without a cache in memory."""
    names = tuple(f"case_{number}" for number in range(4))
    parts = _training(folder, names, "float32")
    indices, seeds = itertools.count(), itertools.count()
    return Pair(
        ours=lambda: parts.train.batch(next(indices)),
        reference=lambda: plain.read_patches(folder, names[:2], patch=PATCH, seed=next(seeds)),
    )


def augment(_folder: Path) -> Pair:
    """Sixteen samples of the default pipeline; the plain loop applies everything to four."""
    pipeline = Pipeline(load_method(METHOD).train.augment, PatchGeometry(PATCH))
    image, labels = _batch(16, tuple(pipeline.source_size_voxels))
    generator = torch.Generator().manual_seed(0)
    return Pair(
        ours=lambda: pipeline(image, labels, seeds=range(16)),
        reference=lambda: plain.augment(image[:4], labels[:4], patch=PATCH, generator=generator),
    )


def train_float32(folder: Path) -> Pair:
    """One update of a small U-Net from an augmented batch."""
    return _update(folder, "float32")


def train_bfloat16(folder: Path) -> Pair | None:
    """The same in the type that autoseg chooses, where that is bfloat16."""
    if not cpu_prefers_bfloat16():
        return None
    return _update(folder, choose_precision(torch.device("cpu")))


def predict(_folder: Path) -> Pair:
    """27 windows of a very small network, mirrored."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 3, 1)).eval()
    image = torch.from_numpy(_case(0, (64, 64, 64))[0])
    patch = (32, 32, 32)
    return Pair(
        ours=lambda: predict_logits([network], image, patch_size_voxels=patch, mirror_axes=(0, 1, 2)),
        reference=lambda: plain.slide(network, image, patch=patch, heads=3),
    )


def export(_folder: Path) -> Pair:
    """Twelve classes from 3 mm to a grid of 64 x 192 x 192."""
    source, shape = (32, 48, 48), (64, 192, 192)
    generator = np.random.default_rng(0)
    seeds = [ndimage.gaussian_filter(generator.normal(size=source), 5) for _ in range(12)]
    noise = generator.normal(size=(12, *source))
    logits = torch.from_numpy((100 * np.stack(seeds) + 0.05 * noise).astype(np.float32))
    space = LabelSpace.parse({"background": 0} | {f"organ {index}": index for index in range(1, 12)})
    record = plain_record("case", shape, source, spacing_mm=(1.5, 0.75, 0.75), target_mm=(3.0, 3.0, 3.0))
    return Pair(
        ours=lambda: labels_on_native_grid(logits, record, space, Resampling()),
        reference=lambda: plain.export(logits, shape=shape),
    )


def surface(_folder: Path) -> Pair:
    """HD95 and surface Dice of a liver and its copy with a rough border."""
    reference = _case(0, (48, 128, 128))[1] > 0
    rough = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=reference.shape), 2)
    prediction = ndimage.gaussian_filter(reference.astype(np.float32), 1) + rough > 0.5

    def ours() -> None:
        found = surface_distances(prediction, reference, spacing_mm=SPACING_MM)
        if found is None:
            raise RuntimeError("the made-up masks have no surface")
        found.hausdorff_mm(95), found.dice_within(1.0)

    return Pair(ours, lambda: plain.surface(prediction, reference, spacing_mm=SPACING_MM))


ROWS: dict[str, RowMaker] = {
    "start-up": start_up,
    "preprocess": preprocess,
    "load": load,
    "augment": augment,
    "train, float32": train_float32,
    "train, bfloat16": train_bfloat16,
    "predict": predict,
    "export": export,
    "surface metrics": surface,
}


def _update(folder: Path, precision: str) -> Pair:
    """One update without augmentation, and of the plain network of the same widths."""
    parts = _training(folder, ("case_0",), precision)
    patch = tuple(parts.augment.source_size_voxels)
    image, labels = _batch(2, patch)
    batch = Batch(image, labels, (0, 1), ("case_0", "case_0"))
    torch.manual_seed(0)
    network = plain.PlainUNet(FEATURES, channels=1, heads=3)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.99, nesterov=True, weight_decay=3e-5)
    half = precision == "bfloat16"
    return Pair(
        ours=lambda: gradient_step(parts, batch, clip=12.0),
        reference=lambda: plain.training_step(network, optimizer, image, labels, half=half),
    )


def _training(folder: Path, names: tuple[str, ...], precision: str) -> Any:
    """Parts of a run on stored cases, which also lie in `folder` as `.npz` files."""
    for number, name in enumerate(names):
        image, labels = _case(number, (96, 96, 96))
        image, shape = image.astype(np.float16), labels.shape
        record = plain_record(name, shape, shape, spacing_mm=TARGET_MM, target_mm=TARGET_MM)
        places = {key: np.argwhere(labels == value)[::50] for key, value in LABELS.items() if value}
        save_case(folder, record, image, labels, places, patch_size_voxels=PATCH)
        np.savez_compressed(folder / f"{name}.npz", image=image, labels=labels.astype(np.int8))
    cases = [StoredCase(folder, name) for name in names]
    train = load_method(METHOD).train.model_copy(update={"augment": ()})
    recipe = Recipe(
        configuration=_configuration(),
        train=train,
        space=LabelSpace.parse(LABELS),
        channels=1,
        mirror_axes=(0, 1, 2),
        seed=0,
        device=torch.device("cpu"),
        precision=torch_dtype(precision),
    )
    return assemble(recipe, train_cases=cases, val_cases=cases)


def _configuration() -> Configuration:
    levels = len(FEATURES)
    return Configuration(
        name="3d_fullres",
        preprocessing=_preprocessing(TARGET_MM),
        patch_size_voxels=PATCH,
        batch_size=2,
        median_shape_voxels=(96, 96, 96),
        topology=Topology(
            features=FEATURES,
            strides=((1, 1, 1), *((2, 2, 2),) * (levels - 1)),
            kernels=((3, 3, 3),) * levels,
            encoder_blocks=(2,) * levels,
            decoder_blocks=(2,) * (levels - 1),
        ),
        network=Component(name="plain_unet"),
        batch_dice=False,
    )


def _preprocessing(spacing_mm: tuple[float, float, float]) -> Preprocessing:
    statistics = IntensityStatistics(
        mean=0.1, median=0.1, std=0.5, minimum=-2.0, maximum=2.0, percentile_00_5=-1.0, percentile_99_5=1.0
    )
    return Preprocessing(
        orientation="as_stored",
        transpose=(0, 1, 2),
        spacing_mm=spacing_mm,
        normalization=(Component(name="ct_clip"),),
        mask_normalization=(False,),
        intensities=(statistics,),
    )


def _case(seed: int, shape: tuple[int, int, int]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]:
    """An ellipsoid body in air with a liver and a tumour: image (1, Z, Y, X), labels (Z, Y, X)."""
    generator = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32) for size in shape], indexing="ij")
    wave = 0.2 * ndimage.zoom(
        generator.normal(size=(4, 4, 4)).astype(np.float32), [size / 4 for size in shape], order=1
    )
    radius = np.sqrt(sum(axis**2 for axis in axes)) + wave
    liver, tumour = radius < 0.6, radius < 0.25
    noise = generator.normal(scale=0.2, size=shape).astype(np.float32)
    image = np.where(radius < 0.95, noise + 0.4 * liver - 0.3 * tumour + 0.01, 0).astype(np.float32)
    return image[None], liver.astype(np.int16) + tumour


def _batch(size: int, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (B, 1, Z, Y, X) float32 and labels (B, 1, Z, Y, X) int16."""
    cases = [_case(number, (shape[0], shape[1], shape[2])) for number in range(size)]
    images, labels = (np.stack([case[part] for case in cases]) for part in (0, 1))
    return torch.from_numpy(images), torch.from_numpy(labels)[:, None]


def _call(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
