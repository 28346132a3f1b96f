"""Preprocess a raw data set here and with nnU-Net v2, and compare every voxel.

    python benchmarks/compare_preprocessing.py --peer-python PEER/bin/python --raw RAW/Dataset004_Hippocampus

nnU-Net plans by itself; its plan (spacing, transpose, normalisation, intensity statistics) is read here, so that only
the preprocessing is compared. Times are CPU seconds of one thread, reading included, storing not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.io.case_store import StoredCase, save_case
from autoseg.io.raw import RawDataset, read_case
from autoseg.preprocessing.case import preprocess_case
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.plan import Preprocessing

NORMALIZERS = {
    "ZScoreNormalization": "zscore",
    "CTNormalization": "ct_clip",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale_to_0_1",
    "RGBTo01Normalization": "rgb_to_0_1",
}


@dataclass
class Agreement:
    """One case; shares are of voxels, 1 is perfect."""

    case_id: str
    shape: tuple[int, ...]
    largest_difference: float
    image: float
    stored: float
    labels: float
    seconds: float
    peer_seconds: float


def main() -> None:
    """Parse, run both, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="interpreter with nnunetv2")
    parser.add_argument("--raw", required=True, type=Path, help="raw data set, DatasetNNN_Name")
    parser.add_argument("--configuration", default="3d_fullres")
    parser.add_argument("--spacing", type=float, nargs=3, help="3d_fullres target spacing instead of the planned one")
    parser.add_argument("--cases", type=int, default=10**9)
    parser.add_argument("--work", type=Path, help="scratch folder to keep; nnU-Net's plan in it is used again")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = compare(options, options.work or Path(scratch))
    report(rows, options.json)


def compare(options: argparse.Namespace, work: Path) -> list[Agreement]:
    """Both programs on the same cases."""
    output = work / "peer"
    output.mkdir(parents=True, exist_ok=True)
    run_peer(options, work, output)
    plans = json.loads((output / "plans.json").read_text())
    preprocessing = section(plans, options.configuration)
    peer_seconds = json.loads((output / "seconds.json").read_text())
    raw = RawDataset.open(options.raw)
    patch = plans["configurations"][options.configuration]["patch_size"]
    rows = []
    for case in raw.training:
        if case.case_id not in peer_seconds:
            continue
        start = time.process_time()
        image, geometry, labels = read_case(case, channels=raw.spec.channels())
        ours = preprocess_case(image, geometry, labels, preprocessing, raw.labels, case_id=case.case_id)
        seconds = time.process_time() - start
        save_case(work / "ours", ours[2], ours[0], ours[1], ours[3], patch_size_voxels=patch)
        stored, stored_labels = StoredCase(work / "ours", case.case_id).read()
        theirs = np.load(output / f"{case.case_id}.npz")
        rows.append(
            Agreement(
                case.case_id,
                ours[0].shape,
                float(np.abs(ours[0] - theirs["image"]).max()),
                share_close(ours[0], theirs["image"], absolute=1e-4, relative=1e-4),
                share_close(stored, theirs["image"], absolute=5e-4, relative=1e-3),
                float(np.mean(stored_labels == theirs["labels"])),
                seconds,
                peer_seconds[case.case_id],
            )
        )
    return rows


def run_peer(options: argparse.Namespace, work: Path, output: Path) -> None:
    """nnU-Net's side, one thread."""
    request = {
        "dataset": options.raw.name,
        "configuration": options.configuration,
        "spacing_mm": options.spacing,
        "cases": options.cases,
        "output": str(output),
    }
    environment = os.environ | {
        "nnUNet_raw": str(options.raw.resolve().parent),
        "nnUNet_preprocessed": str(work / "preprocessed"),
        "nnUNet_results": str(work / "results"),
        "OMP_NUM_THREADS": "1",
    }
    for name in ("preprocessed", "results"):
        (work / name).mkdir(exist_ok=True)
    script = Path(__file__).with_name("_peer_preprocessing.py")
    command = [options.peer_python, str(script), json.dumps(request)]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def section(plans: dict[str, Any], name: str) -> Preprocessing:
    """Our preprocessing section from nnU-Net's plans."""
    chosen = plans["configurations"][name]
    while "inherits_from" in chosen:
        parent = dict(plans["configurations"][chosen["inherits_from"]])
        chosen = parent | {key: value for key, value in chosen.items() if key != "inherits_from"}
    properties = plans["foreground_intensity_properties_per_channel"]
    flat = len(chosen["spacing"]) == 2
    spacing = [1.0, *chosen["spacing"]] if flat else chosen["spacing"]
    return Preprocessing(
        orientation="as_stored",
        transpose=tuple(plans["transpose_forward"]),
        spacing_mm=tuple(float(value) for value in spacing),
        native_axes=(0,) if flat else (),
        normalization=tuple(Component(name=NORMALIZERS[scheme]) for scheme in chosen["normalization_schemes"]),
        mask_normalization=tuple(chosen["use_mask_for_norm"]),
        intensities=tuple(statistics(properties[str(index)]) for index in range(len(properties))),
    )


def statistics(values: dict[str, float]) -> IntensityStatistics:
    """nnU-Net's intensity properties in our words."""
    words = {"min": "minimum", "max": "maximum"}
    return IntensityStatistics(**{words.get(name, name): float(value) for name, value in values.items()})


def share_close(
    ours: npt.NDArray[np.floating[Any]], theirs: npt.NDArray[np.float32], *, absolute: float, relative: float
) -> float:
    """Share of voxels with |ours - theirs| <= absolute + relative * |theirs|."""
    if ours.shape != theirs.shape:
        return 0.0
    return float(np.mean(np.abs(ours.astype(np.float32) - theirs) <= absolute + relative * np.abs(theirs)))


def report(rows: list[Agreement], path: Path | None) -> None:
    """Print the worst and the sum; save all."""
    print("case | shape | max |a-b| | image ok | stored ok | labels equal | s | peer s")
    for row in sorted(rows, key=lambda row: (row.image, row.stored, row.labels))[:10]:
        print(
            f"{row.case_id} | {row.shape} | {row.largest_difference:.1e} | {row.image:.8f} | {row.stored:.8f} | "
            f"{row.labels:.8f} | {row.seconds:.2f} | {row.peer_seconds:.2f}"
        )
    ours, theirs = sum(row.seconds for row in rows), sum(row.peer_seconds for row in rows)
    image, labels = min(min(row.image, row.stored) for row in rows), min(row.labels for row in rows)
    print(f"{len(rows)} cases; worst image {image:.8f}, labels {labels:.8f}; {ours:.2f} s against {theirs:.2f} s")
    if path is not None:
        path.write_text(json.dumps([vars(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
