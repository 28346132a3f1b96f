"""Memory of folds and configurations averaged in one pass, and how far saved probabilities lead to the same labels.

OMP_NUM_THREADS=1 python -m benchmarks.ensembling WORK

Networks have random weights (memory does not ask what they know); labels are compared on smooth made-up logits.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.inference.export import MemberLogits, merged_labels_on_native_grid
from autoseg.inference.model_folder import write_model_folder
from autoseg.inference.predictor import Predictor
from autoseg.inference.probabilities import load_probabilities, save_probabilities
from autoseg.inference.subsets import FLOOR
from autoseg.networks import networks
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.method import PredictChoices
from autoseg.specs.model import Member, Model
from autoseg.specs.plan import Configuration, Preprocessing, Topology

SHAPE, SPACING = (96, 224, 224), (2.0, 1.0, 1.0)
HEADS = 4
STATISTICS = IntensityStatistics(
    mean=0.0, median=0.0, std=1.0, minimum=-1.0, maximum=1.0, percentile_00_5=-1.0, percentile_99_5=1.0
)
RUNS = {
    "one member, one fold": (("3d_fullres",), ("0",)),
    "one member, three folds": (("3d_fullres",), ("0", "1", "2")),
    "three members, one fold": (("2d", "3d_fullres", "3d_lowres"), ("0",)),
    "2d alone": (("2d",), ("0",)),
    "3d_lowres alone": (("3d_lowres",), ("0",)),
}


def configuration(name: str) -> Configuration:
    """The size of a plan for a CPU."""
    dimensions = 2 if name == "2d" else 3
    coarse = 1.5 if name == "3d_lowres" else 1.0
    return Configuration(
        name=name,
        preprocessing=Preprocessing(
            orientation="as_stored",
            transpose=(0, 1, 2),
            spacing_mm=(2.0 * coarse, coarse, coarse),
            normalization=(Component(name="zscore"),),
            mask_normalization=(False,),
            intensities=(STATISTICS,),
        ),
        patch_size_voxels=(128, 128) if dimensions == 2 else (32, 80, 80),
        batch_size=2,
        median_shape_voxels=SHAPE,
        topology=Topology(
            features=(16, 32, 64, 128),
            strides=((1,) * dimensions, *((2,) * dimensions,) * 3),
            kernels=((3,) * dimensions,) * 4,
            encoder_blocks=(1, 2, 2, 2),
            decoder_blocks=(1, 1, 1),
        ),
        network=Component(name="residual_encoder_unet"),
        batch_dice=False,
    )


def make_model(folder: Path) -> None:
    """Three configurations of three folds."""
    chosen = [configuration(name) for name in ("2d", "3d_fullres", "3d_lowres")]
    model = Model(
        dataset="Dataset900_Ensemble",
        method="random",
        channels=("MR",),
        labels={"background": 0, "a": 1, "b": 2, "c": 3},
        regions_class_order=None,
        file_ending=".nii.gz",
        mirror_axes=(),
        predict=PredictChoices(),
        members={each.name: Member(configuration=each, weights={}, sha256={}) for each in chosen},
        selected=tuple(each.name for each in chosen),
        selection_reason="",
        training_cases=0,
    )
    states = {}
    for each in chosen:
        made = [
            networks.build(each.network.name, {}, topology=each.topology, channels=1, heads=HEADS) for _ in range(3)
        ]
        states[each.name] = {str(fold): dict(network.state_dict()) for fold, network in enumerate(made)}
    write_model_folder(folder, model, states)


def predict(folder: Path, run: str) -> None:
    """Print the growth of the peak during a prediction, in MiB, and the size of the float16 logits."""
    names, folds = RUNS[run]
    image = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)
    predictor = Predictor.load(folder, configurations=names, folds=folds, device="cpu", step_size=0.9)
    prepared = predictor.prepare(image, Geometry(SHAPE, SPACING))
    members = predictor.logits(prepared)
    predictor.labels(members)
    sizes = {name: member.logits.numel() * 2 / 2**20 for name, member in zip(names, members, strict=True)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    kinds = sorted({str(member.logits.dtype) for member in members})
    print(json.dumps({"peak_mib": round(peak), "half_logits_mib": sizes, "types": kinds}))


def smooth_members(work: Path) -> tuple[list[MemberLogits], list[MemberLogits]]:
    """Three members' float32 logits of the same blobs, each a little off, and their saved probabilities as logits."""
    image = np.zeros((1, *SHAPE), np.float32) + 1
    predictor = Predictor.load(work / "model", device="cpu")
    prepared = predictor.prepare(image, Geometry(SHAPE, SPACING))
    generator = np.random.default_rng(1)
    centres = generator.uniform(0.25, 0.75, (HEADS - 1, 3))
    live, saved = [], []
    for member in predictor.members:
        section = member.configuration.preprocessing
        _, record = prepared.images[section.digest()]
        axes = [np.linspace(0, 1, size, dtype=np.float32) for size in record.shape_voxels]
        grid = np.meshgrid(*axes, indexing="ij", sparse=True)
        heads = [np.zeros(record.shape_voxels, np.float32)]
        for centre in centres:
            distance = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
            noise = ndimage.gaussian_filter(generator.normal(size=record.shape_voxels).astype(np.float32), 4)
            heads.append(60 * (0.18 - distance) + 40 * noise)
        one = MemberLogits(torch.from_numpy(np.stack(heads)), record, section.resampling)
        name = member.configuration.name
        save_probabilities(work / "kept", name, one, regions=False)
        chances, _ = load_probabilities(work / "kept", name)
        live.append(one)
        saved.append(replace(one, logits=torch.from_numpy(np.log(np.clip(chances, FLOOR, 1 - FLOOR)))))
    return live, saved


def agreement(work: Path) -> dict[str, float]:
    """Share of equal labels, of all voxels; and of those that any member marks."""
    space = LabelSpace.parse({"background": 0, "a": 1, "b": 2, "c": 3})
    live, saved = smooth_members(work)
    exact = merged_labels_on_native_grid(live, space)
    half = merged_labels_on_native_grid([replace(one, logits=one.logits.half()) for one in live], space)
    kept = merged_labels_on_native_grid(saved, space)
    marked = exact > 0
    return {
        "float16 against float32": float((half == exact).mean()),
        "saved against live": float((kept == half).mean()),
        "saved against live, foreground": float((kept == half)[marked].mean()),
        "foreground share": float(marked.mean()),
        "bytes per saved voxel": sum(path.stat().st_size for path in (work / "kept").glob("*.b2nd"))
        / sum(one.logits[0].numel() for one in live),
    }


def main(arguments: Sequence[str]) -> None:
    """Everything, or one prediction in a process of its own."""
    work = Path(arguments[0])
    if len(arguments) > 1:
        predict(work / "model", arguments[1])
        return
    make_model(work / "model")
    for run in RUNS:
        command = [sys.executable, "-m", "benchmarks.ensembling", str(work), run]
        print(f"{run}: {subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()}")
    print(json.dumps(agreement(work)))


if __name__ == "__main__":
    main(sys.argv[1:])
