"""Liver, then tumours: `liver_tumor_cascade` against one full-resolution stage at equal training time.

python -m benchmarks.cascade --work WORK [--minutes 12] [--results FOLDER] [--tiny]

The data are phantoms whose parameters stand below, fixed before anything was measured: one or two tumours that are 1
to 3 % of the liver, in whole upper abdomens of which the liver's box is about a third. Both sides train fold 0 for the
same time; that of the cascade includes all folds of its first stage. Then both predict the same test cases in one
process, in turn. Interrupted, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._commands import run_apart
from benchmarks._machine import machine_facts
from benchmarks._results import load_per_core, machine_name

SEED = 2611
CASES, TEST_CASES = 40, 20
SIZE = "128x192x192"
TUMOUR_SHARE = "0.01,0.03"
TUMOUR_CONTRAST = "10,25"
"""HU below the liver, where noise is 10 to 15: tumours that are easily seen are learnt by both within minutes."""
DATASET = "Dataset001_PhantomLiver"
RESAMPLES, BOOTSTRAP_SEED = 10_000, 0
LABELS = {"liver": (1, 2), "tumour": (2,)}
"""As the liver tumour challenges count: the liver includes its tumours."""


@dataclass(frozen=True)
class Side:
    """One of the two programs.

    Attributes:
        method: Name.
        arguments: Of `plan_and_train`, beside data set and time.
    """

    method: str
    arguments: tuple[str, ...]


SIDES = {
    "cascade": Side("liver_tumor_cascade", ("--method", "liver_tumor_cascade")),
    "single stage": Side("autoseg", ("--method", "autoseg", "-c", "3d_fullres")),
}


def main() -> int:
    """Make, train, predict, score, write."""
    options = _parse()
    work = (options.work / ("tiny" if options.tiny else f"{options.minutes:g}_minutes")).absolute()
    cases, test_cases, size = (4, 2, "16x24x24") if options.tiny else (CASES, TEST_CASES, SIZE)
    if not (work / "raw" / DATASET / "dataset.json").is_file():
        made = ["--cases", cases, "--test-cases", test_cases, "--size", size, "--seed", SEED]
        tumours = ["--tumour-share", TUMOUR_SHARE, "--tumour-contrast", TUMOUR_CONTRAST]
        run_apart(work, "convert", "phantom", *made, *tumours)
    length: tuple[object, ...] = ("--time-budget", f"{options.minutes * 60:g}s")
    if options.tiny:
        length = ("--epochs", 1, "--iterations-per-epoch", 2)
    load = load_per_core()
    for side in SIDES.values():
        run_apart(work, "plan_and_train", DATASET, "-f", 0, *side.arguments, *length, "--device", options.device)
    rows = measure(work, device=options.device)
    head = machine_facts()
    document = {
        "machine": head,
        "load": load,
        "minutes": options.minutes,
        "data": {
            "seed": SEED,
            "cases": cases,
            "test_cases": test_cases,
            "size": size,
            "tumour_share": TUMOUR_SHARE,
            "tumour_contrast": TUMOUR_CONTRAST,
        },
        "training_s": {name: trained_seconds(work, side) for name, side in SIDES.items()},
        "liver_box_share": box_shares(work),
        "cases": rows,
        "summary": summary(rows),
    }
    folder = work / "results" if options.tiny else options.results
    path = folder / f"cascade_{machine_name(head['cores'], head['cpu_model'])}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(document))
    print(path.with_suffix(".md").read_text())
    return 0


def measure(work: Path, *, device: str) -> list[dict[str, Any]]:
    """Dice and seconds of every test case by both sides, which take turns in going first."""
    from autoseg.inference.predictor import Predictor
    from autoseg.io.images import read_label

    predictors = {
        name: Predictor.load(work / "models" / DATASET / side.method, device=device) for name, side in SIDES.items()
    }
    raw = work / "raw" / DATASET
    rows = []
    for number, image in enumerate(sorted((raw / "imagesTs").iterdir())):
        case_id = image.name.removesuffix("_0000.nii.gz")
        truth, _ = read_label(raw / "labelsTs" / f"{case_id}.nii.gz")
        row: dict[str, Any] = {"case": case_id, "dice": {}, "seconds": {}}
        order = list(predictors.items())
        for _, predictor in order if number == 0 else ():
            predictor.predict(image)  # the first calls also load libraries
        for name, predictor in order if number % 2 else order[::-1]:
            started = time.perf_counter()
            labels = predictor.predict(image).labels
            row["seconds"][name] = round(time.perf_counter() - started, 3)
            row["dice"][name] = {label: dice(labels, truth, values) for label, values in LABELS.items()}
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def dice(found: np.ndarray, truth: np.ndarray, values: tuple[int, ...]) -> float:
    """Of two label maps' region; every phantom has both regions."""
    one, other = np.isin(found, values), np.isin(truth, values)
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means, the paired difference with its bootstrap interval, and the ratio of the times."""
    result: dict[str, Any] = {}
    for label in LABELS:
        values = {name: np.array([row["dice"][name][label] for row in rows]) for name in SIDES}
        difference = values["cascade"] - values["single stage"]
        low, high = bootstrap_interval(difference)
        result[f"{label} Dice"] = {
            **{name: float(each.mean()) for name, each in values.items()},
            "difference": float(difference.mean()),
            "interval": [low, high],
        }
    seconds = {name: np.array([row["seconds"][name] for row in rows]) for name in SIDES}
    result["seconds per case"] = {
        **{name: float(np.median(each)) for name, each in seconds.items()},
        "ratio": float(np.median(seconds["cascade"] / seconds["single stage"])),
    }
    return result


def bootstrap_interval(difference: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of the mean over cases drawn with replacement."""
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = generator.integers(len(difference), size=(RESAMPLES, len(difference)))
    low, high = np.percentile(difference[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def trained_seconds(work: Path, side: Side) -> float:
    """Seconds of all epochs of all runs of a side, validation batches included."""
    logs = (work / "runs" / DATASET / side.method).glob("*/fold_*/log.jsonl")
    return sum(json.loads(line)["time"]["seconds"] for log in logs for line in log.read_text().splitlines())


def box_shares(work: Path) -> dict[str, float]:
    """Share of a test image that the liver's box is, by the references, with the cascade's margin."""
    from autoseg.imageops.crop import dilate_box, mask_box
    from autoseg.io.images import read_label
    from autoseg.planning.methods import load_method

    region = load_method("liver_tumor_cascade").plan.region
    margin = 0.0 if region is None else region.margin_mm
    shares = []
    for path in sorted((work / "raw" / DATASET / "labelsTs").iterdir()):
        labels, geometry = read_label(path)
        box = mask_box(labels > 0)
        if box is not None:
            z, y, x = (slice(0, size) for size in labels.shape)
            wide = dilate_box(box, ((margin,) * 2,) * 3, geometry.spacing_mm, limits=(z, y, x))
            shares.append(float(np.prod([side.stop - side.start for side in wide]) / labels.size))
    return {"least": min(shares), "median": float(np.median(shares)), "most": max(shares)}


def markdown(document: dict[str, Any]) -> str:
    """The table and what it says."""
    found, data = document["summary"], document["data"]
    lines = [
        f"# Region-of-interest cascade, {document['machine']['cpu_model']}, {document['machine']['cores']} cores",
        "",
        f"{data['cases']} training and {data['test_cases']} test phantoms of about {data['size']} voxels, tumours of "
        f"{data['tumour_share']} of the liver and {data['tumour_contrast']} HU darker, seed {data['seed']}; "
        f"{document['minutes']:g} minutes of training per "
        f"side; {document['load']:g} running processes per core before.",
        "",
        "| | cascade | single stage | |",
        "|---|---:|---:|---|",
    ]
    for label in LABELS:
        row = found[f"{label} Dice"]
        low, high = row["interval"]
        lines.append(
            f"| {label} Dice | {row['cascade']:.3f} | {row['single stage']:.3f} | "
            f"difference {row['difference']:+.3f} (95 % {low:+.3f} to {high:+.3f}) |"
        )
    times, trained, box = found["seconds per case"], document["training_s"], document["liver_box_share"]
    lines += [
        f"| seconds per case | {times['cascade']:.2f} | {times['single stage']:.2f} | ratio {times['ratio']:.2f} |",
        f"| seconds trained | {trained['cascade']:.0f} | {trained['single stage']:.0f} | |",
        "",
        f"The liver's box with its margin is {box['median']:.0%} of the image ({box['least']:.0%} to "
        f"{box['most']:.0%}).",
        "",
    ]
    return "\n".join(lines)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, type=Path, help="scratch folder; what is done in it is not repeated")
    parser.add_argument("--minutes", type=float, default=12.0, help="training of each side")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--tiny", action="store_true", help="a few tiny cases and updates, to see that it runs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
