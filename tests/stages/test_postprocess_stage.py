"""The postprocess stage on fabricated runs, and cleaning a folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.core.errors import AutosegError, DatasetError, RegistryError, SpecError
from autoseg.inference.steps import read_steps
from autoseg.io import nifti
from autoseg.io.images import read_label, write_label
from autoseg.specs.document import Component
from autoseg.specs.model import Model
from autoseg.specs.postprocess import POSTPROCESS_FILE, Postprocess
from autoseg.stages.postprocess import CleanOptions, Options, clean, run


def test_a_helpful_step_is_written_with_its_grounds(fabricated: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fabricated.model("3d_fullres")
    path = run(Options(fabricated.DATASET, workers=1), fabricated.workspace)
    assert path == fabricated.workspace.model(fabricated.DATASET, "autoseg") / POSTPROCESS_FILE
    found = Postprocess.load(path)
    assert [step.options for step in found.steps] == [{"labels": [1, 2]}]
    assert found.configurations == ("3d_fullres",)
    assert found.folds == ("0", "1")
    assert found.cases == 4
    assert (found.after["first"] or 0) > (found.before["first"] or 0)
    assert found.reason.startswith("largest component of the foreground: the mean Dice rises")
    assert found.model == Model.load(path.with_name("model.json")).digest()
    assert "kept: largest component of the foreground" in caplog.text
    assert "left out: largest component of second" in caplog.text


def test_it_is_decided_again_only_when_something_changed(fabricated: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model = fabricated.model("3d_fullres")
    options = Options(fabricated.DATASET, workers=1)
    path = run(options, fabricated.workspace)
    first = path.stat().st_mtime_ns
    assert run(options, fabricated.workspace) == path
    assert path.stat().st_mtime_ns == first
    assert "up to date" in caplog.text
    run(Options(fabricated.DATASET, overwrite=True, workers=1), fabricated.workspace)
    second = path.stat().st_mtime_ns
    assert second > first
    mask = fabricated.workspace.run(fabricated.DATASET, "autoseg", "3d_fullres", "0") / "validation" / "a.nii.gz"
    os.utime(mask, ns=(second + 10**9, second + 10**9))
    run(options, fabricated.workspace)
    third = path.stat().st_mtime_ns
    assert third > second
    os.utime(mask, ns=(first, first))
    weights = next((model / "weights").iterdir())
    weights.write_bytes(b"trained again")
    (
        fabricated.workspace.run(fabricated.DATASET, "autoseg", "3d_fullres", "0") / "weights_final.safetensors"
    ).write_bytes(b"trained again")
    fabricated.model()
    run(options, fabricated.workspace)
    assert path.stat().st_mtime_ns > third


def test_without_held_out_cases_nothing_is_kept(fabricated: Any) -> None:
    fabricated.run("3d_fullres", "0", train_cases=fabricated.FOLDS["0"])
    fabricated.model()
    found = Postprocess.load(run(Options(fabricated.DATASET, workers=1), fabricated.workspace))
    assert found.steps == ()
    assert found.cases == 0
    assert "no fold held cases out" in found.reason


def test_sound_masks_are_left_alone(fabricated: Any) -> None:
    fabricated.noisy = lambda case, *, shift: fabricated.references[case]
    fabricated.model("3d_fullres")
    found = Postprocess.load(run(Options(fabricated.DATASET, workers=1), fabricated.workspace))
    assert found.steps == ()
    assert found.reason == "no step raised the Dice of the 4 held-out cases"


def test_missing_masks_and_references_are_named(fabricated: Any) -> None:
    fabricated.model("3d_fullres")
    folder = fabricated.workspace.run(fabricated.DATASET, "autoseg", "3d_fullres", "1") / "validation"
    (folder / "c.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"c has no mask in .*fold_1/validation"):
        run(Options(fabricated.DATASET), fabricated.workspace)
    (fabricated.raw / "labelsTr" / "a.nii.gz").unlink()
    with pytest.raises(DatasetError, match="a has no reference in the raw data set"):
        run(Options(fabricated.DATASET), fabricated.workspace)
    with pytest.raises(SpecError, match=r"cannot read .*model\.json"):
        run(Options("Dataset902_None"), fabricated.workspace)


def test_steps_are_read_for_the_members_that_they_were_chosen_for(
    fabricated: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = fabricated.model("3d_fullres")
    model = Model.load(folder / "model.json")
    assert read_steps(folder, model, ("3d_fullres",)) == ()
    run(Options(fabricated.DATASET, workers=1), fabricated.workspace)
    assert [step.name for step in read_steps(folder, model, ("3d_fullres",))] == ["keep_largest"]
    assert read_steps(folder, model, ("2d",)) == ()
    assert "it was chosen for 3d_fullres, not for 2d" in caplog.text
    other = model.model_copy(update={"selection_reason": "another training"})
    assert read_steps(folder, other, ("3d_fullres",)) == ()
    assert "was decided for another model and is not applied" in caplog.text
    by_hand = Postprocess(steps=(Component(name="drop_smal"),), configurations=("3d_fullres",), model="")
    by_hand.save(folder / POSTPROCESS_FILE)
    with pytest.raises(RegistryError, match="did you mean 'drop_small'"):
        read_steps(folder, other, ("3d_fullres",))


@pytest.fixture
def masks(fabricated: Any, tmp_path: Path) -> Path:
    for case in "ab":
        write_label(tmp_path / "masks" / f"{case}.nii.gz", fabricated.noisy(case), fabricated.GRID)
    write_label(tmp_path / "masks" / "c.nii.gz", fabricated.references["c"], fabricated.GRID)
    return tmp_path / "masks"


def test_a_folder_is_cleaned_by_the_models_steps(fabricated: Any, masks: Path, tmp_path: Path) -> None:
    folder = fabricated.model("3d_fullres")
    run(Options(fabricated.DATASET, workers=1), fabricated.workspace)
    done = clean(CleanOptions(masks, tmp_path / "clean", model=folder, workers=1))
    assert done.changed == {"a": 4, "b": 4, "c": 0}
    assert not done.failed
    cleaned, geometry = read_label(tmp_path / "clean" / "a.nii.gz")
    assert not geometry.differences(fabricated.GRID)
    assert np.array_equal(cleaned, np.roll(fabricated.references["a"], 1, axis=1))
    before, after = (nifti.read_header(path / "a.nii.gz") for path in (masks, tmp_path / "clean"))
    assert bytes(before["srow_x"]) == bytes(after["srow_x"])


def test_given_steps_win_and_a_bad_mask_does_not_stop_the_others(masks: Path, tmp_path: Path) -> None:
    (masks / "b.nii.gz").write_bytes(b"no image")
    steps = (Component(name="drop_small", options={"volume_mm3": 8.1}),)  # the false component has 4 voxels of 2 mm3
    done = clean(CleanOptions(masks, tmp_path / "clean", steps=steps, workers=1))
    assert done.changed == {"a": 4, "c": 0}
    assert "cannot be read" in done.failed["b"]


def test_cleaning_refuses_before_it_writes(masks: Path, tmp_path: Path) -> None:
    steps = (Component(name="keep_largest"),)
    with pytest.raises(SpecError, match="nothing says how to clean"):
        clean(CleanOptions(masks, tmp_path / "clean"))
    with pytest.raises(SpecError, match=r"has no postprocess\.json"):
        clean(CleanOptions(masks, tmp_path / "clean", model=tmp_path))
    with pytest.raises(AutosegError, match="is where the masks are"):
        clean(CleanOptions(masks, masks, steps=steps))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no masks in"):
        clean(CleanOptions(tmp_path / "empty", tmp_path / "clean", steps=steps))
    with pytest.raises(RegistryError, match="did you mean 'fill_holes'"):
        clean(CleanOptions(masks, tmp_path / "clean", steps=(Component(name="fill_hole"),)))
    assert not (tmp_path / "clean").exists()
