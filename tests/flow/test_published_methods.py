"""Every published method by name, from raw data to report, on phantoms and with tiny networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from autoseg.cli import run_command
from autoseg.io.images import read_label
from autoseg.specs.model import Model
from autoseg.specs.plan import Plan
from autoseg.specs.report import Report

SHORT = ("-f", "0", "--epochs", "1", "--iterations-per-epoch", "2", "--device", "cpu")


@dataclass(frozen=True)
class Published:
    """A method and how it is made small.

    Attributes:
        variant: Phantom that it is for.
        configuration: What it trains.
        overrides: Settings.
    """

    variant: str
    configuration: str
    overrides: tuple[str, ...]


BOX = "plan.fixed_size_voxels=[16, 40, 40]"
NARROW = ("plan.base_features=4", "train.validation_iterations=1")
# No feature map of two slices: oneDNN's weight gradients of those are not numbers in bfloat16 (seen in torch 2.13).
MINICUBES = (BOX, *NARROW, "plan.overrides.3d_fullres={ patch_size_voxels = [12, 16, 16], stages = 3 }")
SMALL_SLICES = "plan.overrides.2d_organ.target_shape_voxels=[32, 32]"
SMALL_ORGANS = "plan.overrides.2d_roi={ target_shape_voxels = [32, 32], patch_size_voxels = [24, 24] }"
METHODS = {
    "resunet_cascade": Published("ct", "2d_roi", (*NARROW, SMALL_SLICES, SMALL_ORGANS)),
    "unet_godc_lfam": Published("ct", "2d", (*NARROW, "plan.overrides.2d.stages=3")),
    "unet3d_advanced_combo": Published(
        "ct", "3d_fullres", (*NARROW, "plan.overrides.3d_fullres.target_shape_voxels=[16, 24, 24]")
    ),
    "unet2d_ircadb": Published("ct", "2d", (*NARROW, "plan.overrides.2d.target_shape_voxels=[48, 48]")),
    "brats_2d": Published(
        "brain",
        "2d",
        (BOX, *NARROW, "plan.overrides.2d.patch_size_voxels=[32, 32]", "plan.overrides.2d.batch_size=4"),
    ),
    "brats_minicube": Published("brain", "3d_fullres", MINICUBES),
    "brats_minicube_context": Published(
        "brain", "3d_fullres", (*MINICUBES, "plan.network.options.context_voxels=[2, 4, 4]")
    ),
    "brats_segnet": Published("brain", "3d_fullres", MINICUBES),
}
PHANTOMS = {
    "ct": ("1", "Dataset001_PhantomLiver", ("variant=ct", "size=12x32x32")),
    "brain": ("8", "Dataset008_PhantomBrain", ("variant=brain", "labels=plain", "size=16x32x32")),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`workspace(variant)` has the phantoms of that variant."""
    root = tmp_path_factory.mktemp("published")

    def of(variant: str) -> Path:
        number, name, options = PHANTOMS[variant]
        if not (root / "raw" / name).is_dir():
            given = [part for option in (*options, "cases=3", "test_cases=1") for part in ("--option", option)]
            arguments = ["convert", "phantom", "--id", number, *given, "--workspace", str(root), "--workers", "1"]
            assert run_command(arguments) == 0
        return root

    return of


def settings(*overrides: str) -> tuple[str, ...]:
    return tuple(part for override in overrides for part in ("--set", override))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_predicts_and_reports_by_name(
    method: str, workspace: Callable[[str], Path], command: Callable[..., object], tmp_path: Path
) -> None:
    published = METHODS[method]
    number, name, _ = PHANTOMS[published.variant]
    root = workspace(published.variant)
    done = command(
        "plan_and_train", number, "--method", method, *SHORT, *settings(*published.overrides), workspace=root
    )
    assert done.code == 0, done.said
    folder = root / "models" / name / method
    model = Model.load(folder / "model.json")
    assert (model.method, model.selected) == (method, (published.configuration,))
    validation = root / "runs" / name / method / published.configuration / "fold_0" / "validation"
    labels = {label for label in model.labels if label != "background"}
    report = Report.load(validation / "report.json")
    assert set(report.cases[0].regions) >= labels
    raw, masks = root / "raw" / name, tmp_path / "masks"
    done = command("predict", "-i", raw / "imagesTs", "-o", masks, "-m", folder, "--device", "cpu", workspace=root)
    assert done.code == 0, done.said
    (mask,) = masks.glob("*.nii.gz")
    found, geometry = read_label(mask)
    assert geometry.shape == found.shape == read_label(raw / "labelsTs" / mask.name)[0].shape
    report_file = tmp_path / "report.json"
    done = command("evaluate", "-i", masks, "-r", raw / "labelsTs", "-o", report_file, "-d", number, workspace=root)
    assert done.code == 0, done.said
    assert Report.load(report_file).cases[0].regions


def test_minicubes_tile_the_fixed_box_of_the_plan(
    workspace: Callable[[str], Path], command: Callable[..., object]
) -> None:
    number, name, _ = PHANTOMS["brain"]
    root = workspace("brain")
    assert command("fingerprint", number, workspace=root).code == 0
    for method in ("brats_2d", "brats_minicube", "brats_minicube_context"):
        for verb in ("plan", "preprocess"):
            chosen = ("--method", method, *settings(*METHODS[method].overrides))
            done = command(verb, number, *chosen, workspace=root)
            assert done.code == 0, done.said
    plan = Plan.load(root / "prepared" / name / "brats_minicube_context" / "plan.json")
    (configuration,) = plan.configurations.values()
    crop = configuration.preprocessing.fixed_crop
    assert crop is not None
    assert (crop.size_voxels, configuration.patch_size_voxels) == ((16, 40, 40), (12, 16, 16))
    assert len(configuration.topology.strides) == 3
    assert plan.mirror_axes == ()
    # The same box and grid: methods share the cases.
    assert len(list((root / "prepared" / name).glob("cases_*"))) == len({"2d", "3d"})


def test_a_box_that_cuts_the_scans_is_refused_in_one_line(
    workspace: Callable[[str], Path], command: Callable[..., object]
) -> None:
    root = workspace("ct")
    small = settings("plan.fixed_size_voxels=[12, 16, 16]")
    done = command("plan_and_train", "1", "--method", "brats_2d", *SHORT, *small, workspace=root)
    assert done.code == 2
    (line,) = [line for line in done.lines if "fixed_size_voxels" in line]
    assert "a method without a fixed crop" in line
