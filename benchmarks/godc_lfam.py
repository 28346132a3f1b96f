"""Gradient-optimised Dice against Dice, aligned skips on and off: 100 hippocampus cases, short trainings, three seeds.

python -m benchmarks.godc_lfam --data DATA --work WORK [--steps 150] [--seeds 0 1 2] [--results FOLDER]

`DATA` holds `Task04_Hippocampus` (Medical Segmentation Decathlon, original layout). All four methods train fold 0 on
slices at width 16 with the same cases, updates and seeds. The paper's rate, 2e-4, and batch, 2, are for 250,000
updates; here they are 2e-3 and 16 for all (deformable convolution in 3D takes too long for a CPU). Dice and recall are
of the 20 held-out cases: intervals draw cases, after the mean over seeds.
Interrupted, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoseg.metrics.aggregate import bootstrap_means
from autoseg.specs.report import Report
from benchmarks._commands import run_here
from benchmarks._machine import machine_facts
from benchmarks._results import machine_name

DATASET = "Dataset004_Hippocampus"
CASES, EPOCHS = 100, 3
METHODS = {"Dice": "unet_dice", "GODC": "unet_godc", "Dice + LFAM": "unet_lfam", "GODC + LFAM": "unet_godc_lfam"}
BASELINE = "Dice"
CONFIGURATION = "2d"
SETTINGS = (
    "plan.base_features=16",
    "plan.overrides.2d={ stages = 4, batch_size = 16 }",
    "train.optimizer.learning_rate=2e-3",
)
Floats = npt.NDArray[np.float64]


def main() -> int:
    """Convert, train, tabulate."""
    options = _parse()
    seconds = {}
    for seed in options.seeds:
        root = _workspace(options.data, options.work, seed)
        for title, method in METHODS.items():
            started = time.monotonic()
            _train(root, method, seed=seed, steps=options.steps)
            seconds[f"{title}, seed {seed}"] = round(time.monotonic() - started, 1)
    reports = {
        title: [Report.load(_report(options.work / f"seed_{seed}", method)) for seed in options.seeds]
        for title, method in METHODS.items()
    }
    machine = machine_facts()
    result = {
        "facts": machine | {"steps": options.steps, "seeds": options.seeds, "settings": SETTINGS},
        "seconds": seconds,
        "rows": [row(title, reports[title], reports[BASELINE]) for title in METHODS],
    }
    options.results.mkdir(parents=True, exist_ok=True)
    target = options.results / f"godc_lfam_{machine_name(machine['cores'], machine['cpu_model'])}.json"
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    target.with_suffix(".md").write_text(table(result["rows"]), encoding="utf-8")
    print(table(result["rows"]))
    return 0


def row(title: str, reports: Sequence[Report], baseline: Sequence[Report]) -> dict[str, Any]:
    """Means with intervals, the paired difference to the baseline, and the least recall of a label in any seed."""
    regions = tuple(reports[0].cases[0].regions)
    own, base = _over_seeds(reports, regions, "dice"), _over_seeds(baseline, regions, "dice")
    recalls = {
        region: min(float(np.nanmean(_values(report, (region,), "recall"))) for report in reports) for region in regions
    }
    return {
        "method": title,
        "dice": {region: _mean_and_interval(own[:, [at]]) for at, region in enumerate(regions)},
        "mean dice": _mean_and_interval(own),
        "difference": _mean_and_interval(own - base),
        "per seed": [float(np.nanmean(_values(report, regions, "dice"))) for report in reports],
        "least recall": recalls,
        "collapsed": [region for region, recall in recalls.items() if recall == 0],
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    regions = list(rows[0]["dice"])
    lines = [
        f"| loss and skips | {' | '.join(regions)} | mean Dice | minus {BASELINE} | per seed | least recall |",
        "|---|" + "---|" * (len(regions) + 4),
    ]
    for one in rows:
        cells = [_text(one["dice"][region]) for region in regions]
        cells += [_text(one["mean dice"]), _text(one["difference"], sign="+")]
        cells += [", ".join(f"{value:.3f}" for value in one["per seed"])]
        cells += [f"{min(one['least recall'].values()):.3f}{' (collapsed)' if one['collapsed'] else ''}"]
        lines.append(f"| {one['method']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _text(value: Mapping[str, Any], sign: str = "") -> str:
    low, high = value["ci95"]
    return f"{value['mean']:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _mean_and_interval(values: Floats) -> dict[str, Any]:
    """Mean over columns of the means over cases; the interval draws cases."""
    drawn = bootstrap_means(values).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"mean": float(np.nanmean(values, axis=0).mean()), "ci95": [float(low), float(high)]}


def _over_seeds(reports: Sequence[Report], regions: Sequence[str], metric: str) -> Floats:
    """(cases, regions): mean over seeds."""
    mean: Floats = np.nanmean([_values(report, regions, metric) for report in reports], axis=0)
    return mean


def _values(report: Report, regions: Sequence[str], metric: str) -> Floats:
    found = [[case.regions[region][metric].value for region in regions] for case in report.cases]
    return np.array(found, dtype=np.float64)


def _workspace(data: Path, work: Path, seed: int) -> Path:
    """A workspace per seed, as a run has one; raw and prepared data are shared."""
    shared, root = work / "shared", work / f"seed_{seed}"
    if not (shared / "raw" / DATASET / "dataset.json").is_file():
        excerpt = _excerpt(data / "Task04_Hippocampus", work / "excerpt" / "Task04_Hippocampus")
        run_here("convert", "msd", str(excerpt), "--id", "4", workspace=shared)
    (shared / "prepared").mkdir(exist_ok=True)
    root.mkdir(parents=True, exist_ok=True)
    for part in ("raw", "prepared"):
        if not (root / part).exists():
            (root / part).symlink_to((shared / part).resolve())
    return root


def _excerpt(source: Path, target: Path) -> Path:
    """The first cases of a Decathlon task, linked."""
    shutil.rmtree(target, ignore_errors=True)
    spec = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    spec["training"] = spec["training"][:CASES]
    spec |= {"numTraining": len(spec["training"]), "test": [], "numTest": 0}
    for pair in spec["training"]:
        for name in (pair["image"], pair["label"]):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).symlink_to((source / name).resolve())
    (target / "dataset.json").write_text(json.dumps(spec), encoding="utf-8")
    return target


def _train(root: Path, method: str, *, seed: int, steps: int) -> None:
    length = ("--epochs", str(EPOCHS), "--iterations-per-epoch", str(steps // EPOCHS), "--seed", str(seed))
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    run_here("plan_and_train", "4", "--method", method, "-f", "0", *length, "--device", "cpu", *sets, workspace=root)


def _report(root: Path, method: str) -> Path:
    return root / "runs" / DATASET / method / CONFIGURATION / "fold_0" / "validation" / "report.json"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
