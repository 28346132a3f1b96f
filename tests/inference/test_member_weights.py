"""Several members: their logits wait in half precision, and their shares in the average may differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.core.errors import SpecError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.inference.export import MemberLogits, merged_labels_on_native_grid
from autoseg.inference.predictor import Predictor
from autoseg.specs.model import Model

IMAGE = (np.random.default_rng(0).normal(size=(10, 12, 11)).astype(np.float32), (1.0, 1.0, 1.0))


@pytest.fixture
def folder(make_model: Callable[..., Model], tmp_path: Path) -> Path:
    make_model(tmp_path / "model", "2d", "3d_fullres", "3d_lowres")
    return tmp_path / "model"


def test_only_members_that_wait_are_halved(folder: Path) -> None:
    for names, kind in ((("2d",), torch.float32), (("2d", "3d_fullres"), torch.float16)):
        predictor = Predictor.load(folder, configurations=names, device="cpu", precision="float32")
        prepared = predictor.prepare(IMAGE[0][None], geometry())
        assert {member.logits.dtype for member in predictor.logits(prepared)} == {kind}


def geometry() -> Geometry:
    return Geometry((10, 12, 11), (1.0, 1.0, 1.0))


def test_a_weight_moves_the_average(folder: Path) -> None:
    names = ("2d", "3d_fullres")
    alone = Predictor.load(folder, configurations=("2d",), device="cpu").predict(IMAGE).labels
    equal = Predictor.load(folder, configurations=names, device="cpu").predict(IMAGE).labels
    heavy = Predictor.load(folder, configurations=names, device="cpu", weights={"2d": 1e6}).predict(IMAGE).labels
    assert (equal != alone).mean() > 0.01
    assert (heavy != alone).mean() < 0.001
    told = Model.load(folder / "model.json").model_copy(update={"member_weights": {"2d": 1e6}})
    told.save(folder / "model.json")  # selects three members, whose weights say nothing about two
    assert np.array_equal(Predictor.load(folder, configurations=names, device="cpu").predict(IMAGE).labels, equal)
    told.model_copy(update={"selected": names}).save(folder / "model.json")
    assert np.array_equal(Predictor.load(folder, configurations=names, device="cpu").predict(IMAGE).labels, heavy)
    again = Predictor.load(folder, configurations=names, device="cpu", weights={"2d": 1.0}).predict(IMAGE).labels
    assert np.array_equal(again, equal)


@pytest.mark.parametrize("regions", [False, True])
def test_the_average_is_by_weight(folder: Path, regions: bool) -> None:
    names = ("2d", "3d_fullres")
    predictor = Predictor.load(folder, configurations=names, device="cpu", precision="float32")
    first, second = predictor.logits(predictor.prepare(IMAGE[0][None], geometry()))
    labels = {"background": 0, "a": [1, 2, 3], "b": [2, 3], "c": [3]} if regions else {"background": 0, "a": 1, "b": 2}
    space = LabelSpace.parse(labels, (1, 2, 3) if regions else None)
    pair = [replace(first, weight=3.0), replace(second, weight=1.0)]
    thrice = [first, first, first, second]
    merged = merged_labels_on_native_grid(pair, space)
    assert np.array_equal(merged, merged_labels_on_native_grid(thrice, space))
    assert len(np.unique(merged)) > 1
    assert MemberLogits(first.logits, first.record, first.rule).weight == 1.0


def test_wrong_weights_are_refused(folder: Path) -> None:
    for weights, message in (
        ({"2d": 0.0}, "the weight of '2d' is 0: give a positive number"),
        ({"2d": float("nan")}, "the weight of '2d' is nan"),
        ({"3d_fulres": 2.0}, "has a weight, but is not averaged: did you mean '3d_fullres'"),
    ):
        with pytest.raises(SpecError, match=message):
            Predictor.load(folder, device="cpu", weights=weights)


@pytest.mark.parametrize("step", [0.0, -0.5, 1.01, float("nan")])
def test_windows_leave_no_gaps(folder: Path, step: float) -> None:
    with pytest.raises(SpecError, match=r"the window step is .* of the patch: give a share above 0 and at most 1"):
        Predictor.load(folder, device="cpu", step_size=step)
    assert Predictor.load(folder, device="cpu", step_size=1.0).runner.step_size == 1.0


def test_a_model_without_weights_keeps_its_digest(folder: Path) -> None:
    model = Model.load(folder / "model.json")
    values = model.model_dump(mode="json")
    assert (values.pop("member_weights"), values.pop("laterality")) == ({}, None)
    from autoseg.specs.document import digest_of

    assert model.digest() == digest_of(values)
    assert model.model_copy(update={"member_weights": {"2d": 2.0}}).digest() != model.digest()
