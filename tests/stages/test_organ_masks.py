"""The organ's model over the training images, and held-out cases of a second stage: what is made anew, and what not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoseg import pipeline
from autoseg.core.errors import DatasetError, SpecError
from autoseg.inference.organ_model import check_organ_model
from autoseg.inference.record import prediction_record
from autoseg.pipeline.folds import _find_organs
from autoseg.specs.model import Model
from autoseg.specs.plan import Region
from autoseg.stages import predict

REGION = Region(labels=(1, 2), host=1, found_as=(1,), volume_ml=(1.0, 2.0), margin_mm=20.0)


@pytest.fixture
def asked(fabricated: Any, monkeypatch: pytest.MonkeyPatch) -> list[predict.Options]:
    """What is predicted, without doing so."""
    calls: list[predict.Options] = []

    def run(options: predict.Options, _workspace: object) -> predict.Outcome:
        calls.append(options)
        return predict.Outcome(written=("a",))

    monkeypatch.setattr(predict, "run", run)
    return calls


def find_organs(fabricated: Any, model: Path) -> None:
    options = pipeline.Options(fabricated.DATASET, method="autoseg")
    region = REGION.model_copy(update={"model": str(model)})
    planned: Any = SimpleNamespace(method="autoseg")
    _find_organs(options, planned, region, fabricated.workspace)


def test_masks_of_an_earlier_organ_model_are_made_anew(fabricated: Any, asked: list[predict.Options]) -> None:
    folder = fabricated.model("3d_fullres")
    find_organs(fabricated, folder)
    made = prediction_record(folder, Model.load(folder / "model.json"), asked[0])
    made.save(asked[0].output / "predict.json")
    find_organs(fabricated, folder)
    made.model_copy(update={"model": "another"}).save(asked[0].output / "predict.json")
    find_organs(fabricated, folder)
    assert [each.overwrite for each in asked] == [False, False, True]


def test_a_model_that_segments_nothing_stops(fabricated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fabricated.model("3d_fullres")
    failed = predict.Outcome(failed={"a": "has 1 channels, the model takes 4"})
    monkeypatch.setattr(predict, "run", lambda *_: failed)
    with pytest.raises(DatasetError, match=r"segments no training image \(a: has 1 channels.*: choose another model"):
        find_organs(fabricated, folder)


def test_a_model_for_other_images_is_no_first_stage(fabricated: Any) -> None:
    model = Model.load(fabricated.model("3d_fullres") / "model.json")
    check_organ_model(model, "liver", channels=1)
    with pytest.raises(SpecError, match=r"liver takes 1 channels \(MR\), the data set has 4: name a model of the same"):
        check_organ_model(model, "liver", channels=4)


def test_a_first_stage_named_as_well_is_no_rival(fabricated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is averaged with it, so that no probabilities are kept, and what is there is not predicted again."""
    fabricated.run("3d_roi_fullres", "0")
    second = SimpleNamespace(is_first_stage=False)
    planned: Any = SimpleNamespace(
        method="autoseg",
        candidates=("3d_roi_fullres",),
        configuration=lambda _: second,
    )
    monkeypatch.setattr(predict, "run_held_out", lambda *_: pytest.fail("predicts again"))
    asked = pipeline.Options(fabricated.DATASET, method="autoseg", configurations=("3d_organ", "3d_roi_fullres"))
    report = pipeline.score_held_out(
        asked, planned, configuration="3d_roi_fullres", fold="0", workspace=fabricated.workspace
    )
    assert report.is_file()
