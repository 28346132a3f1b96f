"""`resunet_cascade` on one real patient of 3D-IRCADb-01, slices of it held out.

python -m benchmarks.ircadb_slices --data DATA --work WORK [--minutes 10] [--width 16] [--results FOLDER]

`DATA` holds `3Dircadb1/3Dircadb1.17`. The scan is cut across into blocks that are cases of their own. Held out is the
block between 40 % and 60 % of the liver's extent, the lowest 20 %, or a tenth in the midst of the tumours; what lies
above and below is learnt from. A paper that splits by slices at random scores higher, as neighbouring slices are nearly
the same. Training takes the given minutes, liver and tumours together; the paper's width of 64 is for GPUs. Nothing of
the patient is written but to `WORK`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.core.geometry import Geometry
from autoseg.io.images import read_image, read_label, write_image, write_label
from autoseg.specs.report import Report
from benchmarks._commands import run_here
from benchmarks._machine import machine_facts
from benchmarks._results import machine_name

METHOD, FINAL, ORGAN = "resunet_cascade", "2d_roi", "2d_organ"
HELD_OUT = {"middle": (0.4, 0.6), "lowest": (0.0, 0.2), "tumour": (0.75, 0.85)}
"""Share of the liver's extent, from its first slice towards the head. The tumours of this patient lie between 68 % and
98 %: the third block says what the tumour stage is worth, of which the first two hold nothing."""
SOURCE = "Dataset017_IRCADbLiverTumour"


def main() -> int:
    """Convert, cut, train, tabulate."""
    options = _parse()
    run_here("convert", "ircadb", str(options.data / "3Dircadb1"), "--id", "17", workspace=options.work / "whole")
    scores = {}
    for number, (block, shares) in enumerate(HELD_OUT.items(), start=1):
        name = f"Dataset00{number}_{block.title()}"
        root = options.work / f"width_{options.width}_{options.minutes:g}_minutes"
        slices = cut(options.work / "whole" / "raw" / SOURCE, root / "raw" / name, shares)
        _train(root, number, options)
        runs = root / "runs" / name / METHOD
        scores[block] = {
            "held-out slices": slices,
            "liver by the first stage": _scores(runs / ORGAN, "liver"),
            "liver": _scores(runs / FINAL, "liver"),
            "tumour": _scores(runs / FINAL, "tumour"),
        }
    machine = machine_facts()
    result = {
        "facts": machine | {"minutes": options.minutes, "width": options.width},
        "scores": scores,
    }
    options.results.mkdir(parents=True, exist_ok=True)
    target = options.results / f"ircadb_slices_{machine_name(machine['cores'], machine['cpu_model'])}.json"
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    target.with_suffix(".md").write_text(table(scores), encoding="utf-8")
    print(table(scores))
    return 0


def cut(source: Path, target: Path, shares: tuple[float, float]) -> list[int]:
    """A data set of blocks of the one scan in another; first and one past the last held-out slice, from the feet."""
    (image_file,), (label_file,) = (source / "imagesTr").glob("*"), (source / "labelsTr").glob("*")
    labels, geometry = read_label(label_file)
    image = read_image(image_file).array[0]
    liver = np.flatnonzero((labels > 0).any(axis=(1, 2)))
    first, size = int(liver[0]), int(liver[-1]) + 1 - int(liver[0])
    start, stop = (first + round(share * size) for share in shares)
    # Without liver below the held-out block there would be nothing to learn there.
    learnt = {"below": (0, start if start > first else 0), "above": (stop, len(labels))}
    for part in ("imagesTr", "labelsTr"):
        (target / part).mkdir(parents=True, exist_ok=True)
    names = []
    for name, (low, high) in {**learnt, "held_out": (0 if start == first else start, stop)}.items():
        if high - low < 1:
            continue
        part = _block(geometry, low, high)
        write_image(target / "imagesTr" / f"{name}_0000.nii.gz", image[low:high], part)
        write_label(target / "labelsTr" / f"{name}.nii.gz", labels[low:high], part)
        names.append(name)
    spec = json.loads((source / "dataset.json").read_text(encoding="utf-8")) | {"numTraining": len(names)}
    (target / "dataset.json").write_text(
        json.dumps({key: value for key, value in spec.items() if key not in ("provenance", "overlap_group")}),
        encoding="utf-8",
    )
    split = {"train": [name for name in names if name != "held_out"], "val": ["held_out"]}
    (target / "splits_final.json").write_text(json.dumps([split]), encoding="utf-8")
    return [start, stop]


def table(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown."""
    names = [name for name in next(iter(scores.values())) if name != "held-out slices"]
    lines = [f"| held out | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for block, found in scores.items():
        cells = [f"{_number(found[name]['dice'])} (recall {_number(found[name]['recall'])})" for name in names]
        start, stop = found["held-out slices"]
        lines.append(f"| {block}: slices {start} to {stop - 1} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _block(geometry: Geometry, low: int, high: int) -> Geometry:
    """Grid of some slices."""
    step = np.asarray(geometry.direction)[:, 0] * geometry.spacing_mm[0]
    first, second, third = (float(value) for value in np.asarray(geometry.origin_mm) + low * step)
    return replace(geometry, shape=(high - low, *geometry.shape[1:]), origin_mm=(first, second, third))


def _scores(folder: Path, region: str) -> dict[str, float | None]:
    """Dice, recall and precision; the block is one case, so that voxels are pooled over its slices."""
    (case,) = Report.load(folder / "fold_0" / "validation" / "report.json").cases
    found = case.regions.get(region, {})
    return {
        metric: None if found.get(metric) is None else found[metric].value for metric in ("dice", "recall", "precision")
    }


def _train(root: Path, number: int, options: argparse.Namespace) -> None:
    sets = ("--set", f"plan.base_features={options.width}", *(part for one in options.set for part in ("--set", one)))
    seconds = f"{math.ceil(60 * options.minutes)}s"
    given = ("plan_and_train", str(number), "--method", METHOD, "-f", "0", "--time-budget", seconds, "--device", "cpu")
    run_here(*given, *sets, workspace=root)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
