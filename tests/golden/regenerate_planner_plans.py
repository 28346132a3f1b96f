"""Write `planner_plans.json`: what nnU-Net v2's own planners decide on made-up fingerprints.

Run by hand in an environment that holds nnunetv2 2.8.1: `python regenerate_planner_plans.py`. Networks are built on
torch's meta device, which changes nothing but the time.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np

TARGET = Path(__file__).with_name("planner_plans.json")
PLANNERS = ("ExperimentPlanner", "nnUNetPlannerResEncM", "nnUNetPlannerResEncL", "nnUNetPlannerResEncXL")


def fingerprints() -> list[dict]:
    """Named ones of published data sets, then random ones of every kind; all drawn from one seed."""
    named = [
        _same("lits", (1.0, 0.77, 0.77), (482, 512, 512), 131, 1, 3),
        _same("brats", (1.0, 1.0, 1.0), (140, 171, 137), 484, 4, 4),
        _same("ircadb", (1.6, 0.74, 0.74), (124, 512, 512), 20, 1, 3),
        _same("hippocampus", (1.0, 1.0, 1.0), (36, 50, 35), 200, 1, 3),
        {**_same("ct at 1 mm", (1.6, 0.743, 0.743), (119, 512, 512), 3, 1, 3), "target": [1.0, 1.0, 1.0]},
        _same("prostate", (3.6, 0.625, 0.625), (20, 320, 320), 32, 2, 3),
        _same("planar", (999.0, 1.0, 1.0), (1, 300, 400), 50, 3, 2),
    ]
    rng = np.random.RandomState(7)
    return named + [_random(rng, index) for index in range(30)]


def _same(name, spacing, shape, cases, channels, labels) -> dict:
    return {
        "name": name,
        "spacings": [spacing],
        "shapes": [shape],
        "repeat": cases,
        "channels": channels,
        "labels": labels,
    }


def _random(rng: np.random.RandomState, index: int) -> dict:
    kind = ("isotropic", "thick", "mixed", "small", "large")[index % 5]
    cases = int(rng.randint(3, 10))
    fine = rng.uniform(0.4, 1.2)
    ratio = {
        "isotropic": 1.0,
        "thick": rng.uniform(3, 12),
        "mixed": rng.uniform(1, 4),
        "small": 1.3,
        "large": rng.uniform(1, 3),
    }[kind]
    spacings = fine * np.ones((cases, 3)) * rng.uniform(0.9, 1.1, (cases, 1))
    spacings[:, 0] *= ratio * (rng.choice([0.3, 1, 1, 2], cases) if kind in ("thick", "mixed") else 1)
    extent = {"small": (20, 60), "large": (300, 700)}.get(kind, (100, 420))
    shapes = rng.randint(*extent, (cases, 3))
    shapes[:, 0] = np.maximum(4, shapes[:, 0] / ratio).astype(int)
    order = rng.permutation(3)
    return {
        "name": f"{kind} {index}",
        "spacings": np.float32(spacings)[:, order].astype(float).tolist(),
        "shapes": shapes[:, order].tolist(),
        "repeat": int(rng.choice([1, 1, 10, 60])),
        "channels": int(rng.randint(1, 5)),
        "labels": int(rng.randint(2, 15)),
    }


def plan(case: dict, planner_name: str, root: Path) -> dict:
    """The peer's configurations, cut to what is compared."""
    import torch
    from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner as default
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import (
        residual_encoder_unet_planners as residual,
    )

    raw, prepared = root / "raw/Dataset001_X", root / "prepared/Dataset001_X"
    count = len(case["spacings"]) * case["repeat"]
    dataset = {
        "channel_names": {str(index): f"MR{index}" for index in range(case["channels"])},
        "labels": {"background": 0, **{f"l{index}": index for index in range(1, case["labels"])}},
        "numTraining": count,
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(dataset))
    fingerprint = {
        "spacings": case["spacings"] * case["repeat"],
        "shapes_after_crop": case["shapes"] * case["repeat"],
        "foreground_intensity_properties_per_channel": {},
        "median_relative_size_after_cropping": 1.0,
    }
    (prepared / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    # Plans of an earlier data set in this folder would be merged into these.
    for stale in prepared.glob("*Plans.json"):
        stale.unlink()
    kind = getattr(default, planner_name, None) or getattr(residual, planner_name)
    planner = kind(1, overwrite_target_spacing=case.get("target"))
    planner.determine_reader_writer = lambda: type("Reader", (), {})
    with torch.device("meta"):
        plans = planner.plan_experiment()
    plans = json.loads(json.dumps(plans))
    found = {"transpose": plans["transpose_forward"], "configurations": {}}
    for name, one in plans["configurations"].items():
        if name == "3d_cascade_fullres" or "patch_size" not in one:
            found["configurations"][name] = {"previous_stage": one["previous_stage"]}
            continue
        network = one["architecture"]["arch_kwargs"]
        found["configurations"][name] = {
            "patch": [int(edge) for edge in one["patch_size"]],
            "batch": int(one["batch_size"]),
            "spacing": one["spacing"],
            "median": one["median_image_size_in_voxels"],
            "batch_dice": one["batch_dice"],
            "features": network["features_per_stage"],
            "strides": network["strides"],
            "kernels": network["kernel_sizes"],
            "encoder": network.get("n_conv_per_stage", network.get("n_blocks_per_stage")),
            "decoder": network["n_conv_per_stage_decoder"],
        }
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in ("raw/Dataset001_X/imagesTr", "raw/Dataset001_X/labelsTr", "prepared/Dataset001_X", "results"):
            (root / part).mkdir(parents=True)
        for name, part in (("raw", "raw"), ("preprocessed", "prepared"), ("results", "results")):
            os.environ[f"nnUNet_{name}"] = str(root / part)
        rows = []
        for index, case in enumerate(fingerprints()):
            chosen = PLANNERS if index < 7 else (PLANNERS[0], PLANNERS[1 + index % 3])
            plans = {name: plan(case, name, root) for name in chosen}
            rows.append({**case, "plans": plans})
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    TARGET.write_text(f'{{"source":"nnunetv2 2.8.1","rows":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
