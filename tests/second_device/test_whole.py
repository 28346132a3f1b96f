"""From scans to masks on the second device, by the commands, as on the host."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from twin import Twin

from autoseg.cli import run_command
from autoseg.io.images import read_label

SHORT = ("-f", "0", "--epochs", "1", "--iterations-per-epoch", "2")
SMALL = ("plan.base_features=4", "train.validation_iterations=1", "train.precision=float32")
LIVER = ("1", "Dataset001_PhantomLiver", ("variant=ct",))
BRAIN = ("8", "Dataset008_PhantomBrain", ("variant=brain", "labels=plain"))
METHODS = {
    "autoseg": (LIVER, ()),
    "nnunet": (LIVER, ()),
    "resunet_cascade": (LIVER, ("plan.overrides.2d_organ.target_shape_voxels=[32, 32]",)),
    "brats_minicube": (
        BRAIN,
        (
            "plan.fixed_size_voxels=[16, 40, 40]",
            "plan.overrides.3d_fullres={ patch_size_voxels = [12, 16, 16], stages = 3 }",
        ),
    ),
}


def flags(name: str, *values: str) -> list[str]:
    return [part for value in values for part in (f"--{name}", value)]


def run(*arguments: object, workspace: Path) -> None:
    assert run_command([*map(str, arguments), "--workspace", str(workspace), "--workers", "1"]) == 0


@pytest.mark.parametrize("method", METHODS)
def test_from_scans_to_masks(method: str, gpu: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (number, name, variant), overrides = METHODS[method]
    options = flags("option", *variant, "size=12x32x32", "cases=3", "test_cases=1")
    run("convert", "phantom", "--id", number, *options, workspace=tmp_path)
    monkeypatch.setattr("autoseg.inference.runner.choose_precision", lambda *_: "float32")
    raw, found = tmp_path / "raw" / name, []
    for device in (torch.device("cpu"), gpu.device):
        root = tmp_path / device.type
        root.mkdir()
        (root / "raw").symlink_to(tmp_path / "raw")
        for module in ("autoseg.devices.select", "autoseg.inference.runner"):
            monkeypatch.setattr(f"{module}.select_device", lambda _="auto", chosen=device: chosen)
        settings = flags("set", *SMALL, *overrides)
        run("plan_and_train", number, "--method", method, *SHORT, *settings, workspace=root)
        folders = ("-i", raw / "imagesTs", "-o", root / "masks", "-m", root / "models" / name / method)
        run("predict", *folders, workspace=root)
        logs = [json.loads(path.read_text()) for path in sorted(root.glob("runs/**/log.jsonl"))]
        (mask,) = (root / "masks").glob("*.nii.gz")
        found.append(([log["train_loss"] for log in logs], read_label(mask)[0]))
    assert gpu.waits["_local_scalar_dense"] >= 2
    (losses_here, here), (losses_there, there) = found
    assert losses_there == pytest.approx(losses_here, abs=1e-4)
    assert np.mean(here == there) > 0.99  # after two updates many voxels lie between two labels
