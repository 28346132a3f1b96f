"""The ensemble stage on fabricated runs: what is selected, why, and what the model folder then holds."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.core.errors import DatasetError
from autoseg.inference.export import MemberLogits
from autoseg.inference.probabilities import load_probabilities, probabilities_folder, save_probabilities
from autoseg.inference.subsets import subsets_of
from autoseg.io.images import read_label
from autoseg.specs.case import CaseRecord, Grid
from autoseg.specs.ensemble import Ensemble
from autoseg.specs.model import Model
from autoseg.specs.plan import Resampling
from autoseg.specs.postprocess import Postprocess
from autoseg.specs.run import Run
from autoseg.stages import postprocess
from autoseg.stages.ensemble import Options, run, select


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ({"2d": 0.7, "3d_fullres": 0.8}, "3d_fullres"),
        ({"3d_fullres": 0.8, "2d": 0.8}, "2d"),
        ({"3d_cascade_fullres": 0.8, "3d_lowres": 0.8 - 5e-7, "3d_fullres": 0.8}, "3d_lowres"),
        ({"3d_fullres": 0.8, "3d_lowres": 0.8 - 2e-6}, "3d_fullres"),
        ({"other": 0.8, "3d_cascade_fullres": 0.8}, "3d_cascade_fullres"),
        ({"2d+3d_fullres": 0.8, "3d_cascade_fullres": 0.8}, "3d_cascade_fullres"),
        ({"2d+3d_lowres+3d_fullres": 0.8, "3d_fullres+3d_cascade_fullres": 0.8, "2d": 0.1},
         "3d_fullres+3d_cascade_fullres"),
        ({"2d+3d_fullres": 0.9, "2d": 0.8, "3d_fullres": 0.85}, "2d+3d_fullres"),
        ({"2d": 0.0}, "2d"),
    ],
)  # fmt: skip
def test_the_best_is_selected_and_ties_go_to_the_simpler(scores: dict[str, float], chosen: str) -> None:
    name, reason = select(scores)
    assert name == chosen
    assert reason.startswith(f"{chosen} is used: mean Dice")
    assert all(f"{other} {score:.4f}" in reason for other, score in scores.items())


def test_subsets_have_two_or_three_members() -> None:
    assert subsets_of(("a",)) == ()
    assert subsets_of(("a", "b")) == (("a", "b"),)
    assert len(subsets_of(("a", "b", "c", "d"))) == 6 + 4


def test_a_model_folder_is_packed(fabricated: Any) -> None:
    folder = fabricated.model("3d_fullres")
    model = Model.load(folder / "model.json")
    assert model.selected == ("3d_fullres",)
    assert model.members["3d_fullres"].weights == {
        fold: f"weights/3d_fullres_fold_{fold}.safetensors" for fold in ("0", "1")
    }
    for fold, name in model.members["3d_fullres"].weights.items():
        assert (folder / name).read_bytes() == f"3d_fullres {fold}".encode()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == model.members["3d_fullres"].sha256[fold]
    assert model.licence == "CC0"
    assert list(json.loads((folder / "scores.json").read_text())) == ["3d_fullres"]
    assert "3d_fullres is used" in (folder / "card.md").read_text()
    assert Ensemble.load(folder / "ensemble.json").weights_reason == "one member alone has nothing to share"


def test_only_complete_scored_and_wanted_runs_count(fabricated: Any) -> None:
    with pytest.raises(DatasetError, match="no complete and scored training of method 'autoseg'"):
        run(Options(fabricated.DATASET), fabricated.workspace)
    (fabricated.run("2d", "0") / "weights_final.safetensors").unlink()
    with pytest.raises(DatasetError, match="plan_and_train first"):
        run(Options(fabricated.DATASET), fabricated.workspace)
    for configuration, fold in (("3d_fullres", "0"), ("3d_fullres", "1"), ("3d_lowres", "0")):
        fabricated.run(configuration, fold)
    options = Options(fabricated.DATASET, configurations=("3d_fullres",), folds=("1",))
    model = Model.load(run(options, fabricated.workspace) / "model.json")
    assert {name: tuple(member.weights) for name, member in model.members.items()} == {"3d_fullres": ("1",)}


def test_configurations_are_compared_on_the_cases_that_all_of_them_held_out(fabricated: Any) -> None:
    fabricated.run("2d", "0", shift=0)
    fabricated.run("3d_fullres", "0", shift=0)
    fabricated.run("3d_fullres", "1", shift=3)  # hard cases that 2d never saw
    folder = run(Options(fabricated.DATASET), fabricated.workspace)
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["2d"] == pytest.approx(scores["3d_fullres"])
    assert Model.load(folder / "model.json").selected == ("2d",)


def test_without_probabilities_single_configurations_are_compared(
    fabricated: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for configuration, shift in (("2d", 2), ("3d_fullres", 1)):
        fabricated.run(configuration, "0", shift=shift)
    folder = run(Options(fabricated.DATASET), fabricated.workspace)
    assert Model.load(folder / "model.json").selected == ("3d_fullres",)
    assert "2d, 3d_fullres: no probabilities of the held-out cases" in caplog.text


def store(fabricated: Any, configuration: str, fold: str, wrong: int) -> Path:
    """A run whose probabilities are sure of the reference, but for one plane where it leans to label 0 or 1."""
    folder: Path = fabricated.run(configuration, fold, shift=1)
    for case in fabricated.FOLDS[fold]:
        truth = torch.from_numpy(fabricated.references[case].astype(np.int64))
        logits = 4.0 * torch.nn.functional.one_hot(truth, 3).permute(3, 0, 1, 2).float()
        logits[:, :, :, wrong] = 0
        logits[1 if wrong < 6 else 0, :, :, wrong] = 1.0
        shape = fabricated.GRID.shape
        record = CaseRecord(
            case_id=case,
            original=Grid.of(fabricated.GRID),
            orient_axes=(0, 1, 2),
            orient_flips=(False, False, False),
            transpose=(0, 1, 2),
            transposed_shape_voxels=shape,
            crop_start_voxels=(0, 0, 0),
            crop_stop_voxels=shape,
            cropped_spacing_mm=fabricated.GRID.spacing_mm,
            spacing_mm=fabricated.GRID.spacing_mm,
            shape_voxels=shape,
        )
        member = MemberLogits(logits, record, Resampling())
        save_probabilities(probabilities_folder(folder / "validation", case), configuration, member, regions=False)
    return folder


def test_an_average_that_scores_best_is_selected_and_post_processed(fabricated: Any) -> None:
    for fold in fabricated.FOLDS:
        for place, configuration in enumerate(("3d_fullres", "2d", "3d_lowres")):
            store(fabricated, configuration, fold, wrong=4 + 3 * place)
    folder = run(Options(fabricated.DATASET), fabricated.workspace)
    model = Model.load(folder / "model.json")
    scores = json.loads((folder / "scores.json").read_text())
    assert set(scores) == {
        "2d", "3d_lowres", "3d_fullres", "2d+3d_lowres", "2d+3d_fullres", "3d_lowres+3d_fullres",
        "2d+3d_lowres+3d_fullres",
    }  # fmt: skip
    assert scores["2d+3d_lowres"] == 1.0  # either is sure where the other hesitates
    assert model.selected == ("2d", "3d_lowres")
    merged = fabricated.workspace.run(fabricated.DATASET, "autoseg", "2d+3d_lowres", "1") / "validation"
    mask, geometry = read_label(merged / "d.nii.gz")
    assert np.array_equal(mask, fabricated.references["d"])
    assert not geometry.differences(fabricated.GRID)
    found = Postprocess.load(postprocess.run(postprocess.Options(fabricated.DATASET, workers=1), fabricated.workspace))
    assert found.configurations == ("2d", "3d_lowres")
    assert found.cases == 4
    assert found.before == {"first": 1.0, "second": 1.0}
    # A second run finds nothing new to write, nor does it take the merged masks for a training.
    written = (merged / "d.nii.gz").stat().st_mtime_ns
    again = run(Options(fabricated.DATASET), fabricated.workspace)
    assert Model.load(again / "model.json") == model
    assert (merged / "d.nii.gz").stat().st_mtime_ns == written


def lean(fabricated: Any, configuration: str, fold: str, *, right: float) -> Path:
    """A run that is sure of the reference, but for one plane, where it is right by so many logits."""
    folder = store(fabricated, configuration, fold, wrong=4)
    for case in fabricated.FOLDS[fold]:
        place = probabilities_folder(folder / "validation", case)
        _, record = load_probabilities(place, configuration)
        truth = torch.from_numpy(fabricated.references[case].astype(np.int64))
        logits = 6.0 * torch.nn.functional.one_hot(truth, 3).permute(3, 0, 1, 2).float()
        logits[:, :, :, 4] *= right / 6.0
        save_probabilities(place, configuration, MemberLogits(logits, record, Resampling()), regions=False)
    return folder


def test_unequal_shares_are_searched_when_asked_for(fabricated: Any, caplog: pytest.LogCaptureFixture) -> None:
    """One member is right where the other is wrong by more: it needs the larger share."""
    caplog.set_level(logging.INFO, "autoseg")
    for fold in fabricated.FOLDS:
        lean(fabricated, "2d", fold, right=1.0)
        lean(fabricated, "3d_fullres", fold, right=-3.0)
    options = Options(fabricated.DATASET, search_weights=True)
    folder = run(options, fabricated.workspace)
    found, model = Ensemble.load(folder / "ensemble.json"), Model.load(folder / "model.json")
    assert found.selected == model.selected == ("2d", "3d_fullres")
    assert found.weights == model.member_weights == {"2d": 0.75, "3d_fullres": 0.25}
    assert [each.weights["2d"] for each in found.weightings] == [0.5, 0.25, 0.75]
    assert "2d 0.75 : 3d_fullres 0.25 makes the mean Dice 1.0000 instead of" in found.weights_reason
    assert found.weights_reason in caplog.text
    assert "Shares in the average: 2d 0.75, 3d_fullres 0.25." in (folder / "card.md").read_text()
    merged = fabricated.workspace.run(fabricated.DATASET, "autoseg", "2d+3d_fullres", "1") / "validation" / "d.nii.gz"
    assert np.array_equal(read_label(merged)[0], fabricated.references["d"])
    document = postprocess.run(postprocess.Options(fabricated.DATASET, workers=1), fabricated.workspace)
    assert Postprocess.load(document).before == {"first": 1.0, "second": 1.0}
    # Without the search shares are equal again, and so are the masks that post-processing is decided on.
    again = run(Options(fabricated.DATASET), fabricated.workspace)
    assert Model.load(again / "model.json").member_weights == {}
    assert Ensemble.load(again / "ensemble.json").weights_reason == "equal shares: others were not tried"
    assert not np.array_equal(read_label(merged)[0], fabricated.references["d"])
    written = merged.stat().st_mtime_ns
    run(Options(fabricated.DATASET), fabricated.workspace)
    assert merged.stat().st_mtime_ns == written
    note = merged.parents[2] / "shares.json"
    note.write_text("unfinished\n")  # stopped in the middle
    run(Options(fabricated.DATASET), fabricated.workspace)
    assert merged.stat().st_mtime_ns > written


def test_a_mask_that_is_gone_is_named(fabricated: Any) -> None:
    for fold in fabricated.FOLDS:
        for place, configuration in enumerate(("2d", "3d_lowres")):
            store(fabricated, configuration, fold, wrong=4 + 3 * place)
    gone = fabricated.workspace.run(fabricated.DATASET, "autoseg", "2d", "1") / "validation" / "d.nii.gz"
    gone.unlink()
    with pytest.raises(DatasetError, match=r"d has no mask in .*2d/fold_1/validation: run autoseg plan_and_train"):
        run(Options(fabricated.DATASET), fabricated.workspace)


def test_a_training_on_every_case_is_not_compared(fabricated: Any) -> None:
    """It is scored on what it has seen, and would always win."""
    for fold in fabricated.FOLDS:
        fabricated.run("2d", fold, shift=1)
    fabricated.FOLDS["all"] = ("a", "b", "c", "d")
    try:
        fabricated.run("3d_fullres", "all", shift=0, train_cases=fabricated.FOLDS["all"])
        fabricated.run("2d", "all", shift=0, train_cases=fabricated.FOLDS["all"])
    finally:
        del fabricated.FOLDS["all"]
    folder = run(Options(fabricated.DATASET), fabricated.workspace)
    found = Ensemble.load(folder / "ensemble.json")
    assert found.selected == ("2d",)
    assert found.reason.endswith("; 3d_fullres held nothing out and is not compared")
    both = run(Options(fabricated.DATASET, folds=("0", "1")), fabricated.workspace)
    assert found.scores == Ensemble.load(both / "ensemble.json").scores
    assert (
        "| 2d | all | 4, seen in training | first |"
        in (run(Options(fabricated.DATASET), fabricated.workspace) / "card.md").read_text()
    )
    alone = run(Options(fabricated.DATASET, folds=("all",)), fabricated.workspace)
    assert (
        "mean Dice of cases seen in training, as nothing was held out, "
        in Model.load(alone / "model.json").selection_reason
    )


def test_folds_of_different_plans_are_not_averaged(fabricated: Any) -> None:
    for fold in fabricated.FOLDS:
        folder = fabricated.run("2d", fold)
    other = Run.load(folder / "run.json")
    finer = other.configuration.preprocessing.model_copy(update={"spacing_mm": (1.0, 1.0, 1.0)})
    changed = other.configuration.model_copy(update={"preprocessing": finer, "batch_size": 5})
    other.model_copy(update={"configuration": changed}).save(folder / "run.json")
    with pytest.raises(
        DatasetError, match="2d: fold 1 was trained with another preprocessing than fold 0: train it again"
    ):
        run(Options(fabricated.DATASET), fabricated.workspace)
    larger = other.configuration.model_copy(update={"batch_size": 5})  # no matter to a prediction
    other.model_copy(update={"configuration": larger}).save(folder / "run.json")
    assert run(Options(fabricated.DATASET), fabricated.workspace).is_dir()


def test_probabilities_of_earlier_weights_do_not_count(fabricated: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    store(fabricated, "2d", "0", wrong=4)
    later = store(fabricated, "3d_fullres", "0", wrong=7) / "weights_final.safetensors"
    later.write_bytes(b"trained again")
    folder = run(Options(fabricated.DATASET), fabricated.workspace)
    assert set(json.loads((folder / "scores.json").read_text())) == {"2d", "3d_fullres"}
    assert "3d_fullres: no probabilities" in caplog.text
