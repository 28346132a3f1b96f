"""Minicubes of the brain: memory of training and prediction, seams between cores, recall of every tumour class.

python -m benchmarks.minicubes memory WORK [--methods M ...]                on made-up scans of 240 x 240 x 155 voxels
python -m benchmarks.minicubes seams WORK --data BRATS [--minutes 5]        with and without context, all cases
python -m benchmarks.minicubes recall WORK --data BRATS [--minutes 20]      on the cases that it was trained on

`BRATS` is a folder that the converter `brats` reads; labels become edema, non-enhancing with necrosis, enhancing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autoseg.core.geometry import Geometry
from autoseg.imageops.grid import core_starts
from autoseg.io.images import read_label, write_image, write_label
from benchmarks._measure import measure

SHAPE = (155, 240, 240)
SCANS = "Dataset901_Minicubes"
BRATS = "Dataset902_BraTS"
CHANNELS = ("T1", "T1c", "T2", "FLAIR")
LABELS = {"background": 0, "edema": 1, "non_enhancing": 2, "enhancing": 3}
PAIR = ("brats_minicube", "brats_minicube_context")
NEAR = 8
"""Voxels on either side of a border that it is compared with: the same anatomy."""
Floats = npt.NDArray[np.floating]


def seam_jumps(logits: Floats, core_size_voxels: Sequence[int]) -> dict[str, float]:
    """Mean absolute jump of the logits across core borders, over that between other neighbours.

    Args:
        logits: (heads, Z, Y, X).
        core_size_voxels: (z, y, x) of the grid.

    Returns:
        `all`: against all neighbours within cores. `near`: against those at most `NEAR` voxels from a border, along the
        same axis. 1 is no seam.
    """
    border, near, inside = [], [], []
    for axis, core in enumerate(core_size_voxels, start=1):
        size = logits.shape[axis]
        jumps = np.abs(np.diff(logits.astype(np.float32), axis=axis))
        means = jumps.mean(axis=tuple(other for other in range(logits.ndim) if other != axis))  # one per pair of planes
        borders = [start - 1 for start in core_starts(size, core)[1:]]
        others = [pair for pair in range(size - 1) if pair not in borders]
        close = [pair for pair in others if any(abs(pair - one) <= NEAR for one in borders)]
        border += [float(means[pair]) for pair in borders]
        near += [float(np.mean(means[close]))] * len(borders) if borders else []
        inside += [float(np.mean(means[others]))] * len(borders) if borders else []
    return {"all": sum(border) / sum(inside), "near": sum(border) / sum(near)}


def recall(found: Sequence[npt.NDArray[np.integer]], wanted: Sequence[npt.NDArray[np.integer]]) -> dict[str, float]:
    """Share of each class's voxels that is found, pooled over the cases."""
    return {
        name: sum(int(((one == value) & (other == value)).sum()) for one, other in zip(found, wanted, strict=True))
        / max(1, sum(int((other == value).sum()) for other in wanted))
        for name, value in LABELS.items()
    }


def make_scans(raw: Path, *, cases: int, tests: int) -> None:
    """Ellipsoid brains with folded noise and a nested tumour, zero outside, in the challenge's grid."""
    for name in ("imagesTr", "labelsTr", "imagesTs"):
        (raw / name).mkdir(parents=True, exist_ok=True)
    geometry = Geometry(SHAPE, (1.0, 1.0, 1.0))
    axes = np.meshgrid(*[np.arange(size, dtype=np.float32) for size in SHAPE], indexing="ij", sparse=True)
    for number in range(cases + tests):
        generator = np.random.default_rng(number)
        brain = _ball(axes, np.array(SHAPE) / 2 + generator.uniform(-4, 4, 3), (62, 85, 68)) < 1
        tumour = _ball(axes, np.array(SHAPE) / 2 + generator.uniform(-20, 20, 3), (24, 28, 26))
        labels = ((tumour < 1).astype(np.uint8) + (tumour < 0.5) + (tumour < 0.25)) * brain
        side, case = ("Tr", f"brain_{number:03d}") if number < cases else ("Ts", f"brain_{number:03d}")
        for channel in range(len(CHANNELS)):
            noise = ndimage.gaussian_filter(generator.normal(size=SHAPE).astype(np.float32), 3)
            image = (400 + 2000 * noise + 60 * (channel + 1) * labels) * brain
            write_image(raw / f"images{side}" / f"{case}_{channel:04d}.nii.gz", image.astype(np.int16), geometry)
        if side == "Tr":
            write_label(raw / "labelsTr" / f"{case}.nii.gz", labels.astype(np.uint8), geometry)
    spec = {"channel_names": {str(index): name for index, name in enumerate(CHANNELS)}, "labels": LABELS}
    (raw / "dataset.json").write_text(json.dumps({**spec, "numTraining": cases, "file_ending": ".nii.gz"}))


def memory(work: Path, methods: Sequence[str], *, steps: int = 4) -> dict[str, dict[str, float]]:
    """Peak resident MiB of `train` and of `predict`, each a process of its own."""
    if not (work / "raw" / SCANS / "dataset.json").is_file():
        make_scans(work / "raw" / SCANS, cases=3, tests=1)
    found = {}
    for method in methods:
        short = ("-f", "0", "--epochs", "1", "--iterations-per-epoch", str(steps), "--method", method)
        tiny = ("--set", "train.validation_iterations=1", "--device", "cpu")
        configuration = "2d" if method.endswith("_2d") else "3d_fullres"
        _run(work, "fingerprint", SCANS)
        _run(work, "plan", SCANS, "--method", method, *tiny)
        _run(work, "preprocess", SCANS, "--method", method)
        trained = _run(work, "train", SCANS, "-c", configuration, *short, *tiny)
        _run(work, "plan_and_train", SCANS, *short, *tiny)
        model, images = work / "models" / SCANS / method, work / "raw" / SCANS / "imagesTs"
        predicted = _run(work, "predict", "-i", images, "-o", work / "masks" / method, "-m", model, "--overwrite")
        found[method] = {"train MiB": trained, "predict MiB": predicted}
    return found


def train_brats(work: Path, data: Path, method: str, *, minutes: float) -> Path:
    """Model folder of a method trained on all cases."""
    if not (work / "raw" / BRATS / "dataset.json").is_file():
        number, name = BRATS.removeprefix("Dataset").split("_")
        _run(work, "convert", "brats", data, "--labels", "tissues", "--id", number, "--name", name)
    _run(work, "plan_and_train", BRATS, "--method", method, "-f", "all", "--time-budget", f"{minutes:g}m")
    return work / "models" / BRATS / method


def seams(work: Path, data: Path, *, minutes: float) -> dict[str, dict[str, float]]:
    """Mean over the cases of `seam_jumps`, per method."""
    from autoseg.inference.predictor import Predictor
    from autoseg.io.raw import RawDataset, read_case

    found: dict[str, dict[str, float]] = {}
    for method in PAIR:
        predictor = Predictor.load(train_brats(work, data, method, minutes=minutes), device="cpu")
        core = predictor.members[0].configuration.patch_size_voxels
        rows = []
        for case in RawDataset.open(work / "raw" / BRATS).training:
            image, geometry, _ = read_case(case, channels=predictor.model.channels)
            (member,) = predictor.logits(predictor.prepare(image, geometry))
            rows.append(seam_jumps(member.logits.float().numpy(), core))
        found[method] = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return found


def brats_recall(work: Path, data: Path, *, minutes: float) -> dict[str, float]:
    """Recall per class of `brats_minicube` on the cases that it was trained on."""
    model = train_brats(work, data, PAIR[0], minutes=minutes)
    raw, masks = work / "raw" / BRATS, work / "masks" / "training"
    _run(work, "predict", "-i", raw / "imagesTr", "-o", masks, "-m", model, "--overwrite")
    references = sorted((raw / "labelsTr").glob("*.nii.gz"))
    return recall(
        [read_label(masks / path.name)[0] for path in references], [read_label(path)[0] for path in references]
    )


def _ball(axes: Sequence[Floats], centre: npt.NDArray[np.floating], radii: Sequence[float]) -> Floats:
    """Squared distance in units of the radii."""
    parts = [((axis - middle) / radius) ** 2 for axis, middle, radius in zip(axes, centre, radii, strict=True)]
    return np.asarray(parts[0] + parts[1] + parts[2])


def _run(work: Path, *arguments: str | Path) -> float:
    """Run a command line; its peak in MiB."""
    command = [sys.executable, "-m", "autoseg", *arguments, "--workspace", work]
    found = measure(command, log=work / "logs" / f"{arguments[0]}.log", environment=os.environ)
    if found.failure is not None:
        raise RuntimeError(f"{' '.join(map(str, arguments))}: {found.failure}")
    return round(found.largest_bytes / 2**20, 1)


def main(arguments: Sequence[str]) -> None:
    """Print one table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["memory", "seams", "recall"])
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--methods", nargs="+", default=list(PAIR))
    given = parser.parse_args(arguments)
    if given.what == "memory":
        print(json.dumps(memory(given.work, given.methods), indent=2))
    elif given.data is None:
        parser.error("give --data")
    elif given.what == "seams":
        print(json.dumps(seams(given.work, given.data, minutes=given.minutes or 5.0), indent=2))
    else:
        print(json.dumps(brats_recall(given.work, given.data, minutes=given.minutes or 20.0), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
