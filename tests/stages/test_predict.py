"""`predict`: masks for a folder, once; mistakes in one line, bad cases named."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.core.errors import AutosegError, DatasetError, SpecError
from autoseg.core.geometry import Geometry
from autoseg.core.labels import LabelSpace
from autoseg.core.workspace import Workspace
from autoseg.inference import held_out
from autoseg.inference.predictor import Predictor
from autoseg.inference.probabilities import load_probabilities
from autoseg.inference.thrift import Thrift
from autoseg.io.case_store import save_case
from autoseg.io.images import read_header, read_label, write_image
from autoseg.io.weights import save_weights
from autoseg.preprocessing.case import preprocess_case
from autoseg.preprocessing.folder import cases_digest
from autoseg.specs.dataset import Dataset
from autoseg.specs.method import Method
from autoseg.specs.model import Model
from autoseg.specs.run import Run, Schedule
from autoseg.stages import predict

_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parents[1] / "inference" / "conftest.py")
assert _SPEC is not None
assert _SPEC.loader is not None
_TINY = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_TINY)
make_model, images = _TINY.make_model, _TINY.images
Maker = Callable[..., Model]


@pytest.fixture
def workspace(tmp_path: Path, make_model: Maker) -> Workspace:
    found = Workspace(tmp_path / "workspace")
    make_model(found.model("Dataset900_Tiny", "test"), "2d", "3d_fullres")
    return found


def options(images: Path, output: Path, **more: object) -> predict.Options:
    return predict.Options(images, output, device="cpu", precision="float32", **more)  # type: ignore[arg-type]


def test_every_image_gets_a_mask_of_its_format_and_grid(images: Path, workspace: Workspace, tmp_path: Path) -> None:
    outcome = predict.run(options(images, tmp_path / "masks", workers=2), workspace)
    assert outcome == predict.Outcome(("a", "b", "c"), (), {})
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {"a.nii.gz", "b.nrrd", "c.nii", "predict.json"}
    predictor = Predictor.load(workspace.model("Dataset900_Tiny", "test"), device="cpu", precision="float32")
    for image, mask in (("a_0000.nii.gz", "a.nii.gz"), ("b_0000.nrrd", "b.nrrd"), ("c_0000.nii", "c.nii")):
        labels, geometry = read_label(tmp_path / "masks" / mask)
        assert not geometry.differences(read_header(images / image))
        np.testing.assert_array_equal(labels, predictor.predict(images / image).labels)


def test_masks_that_are_there_are_kept(images: Path, workspace: Workspace, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    predict.run(options(images, masks), workspace)
    (masks / "b.nrrd").unlink()
    stamp = (masks / "c.nii").stat().st_mtime_ns + 10**9
    os.utime(images / "c_0000.nii", ns=(stamp, stamp))
    again = predict.run(options(images, masks), workspace)
    assert again == predict.Outcome(written=("b", "c"), kept=("a",))
    os.utime(images / "c_0000.nii", ns=(0, 0))
    assert predict.run(options(images, masks), workspace).kept == ("a", "b", "c")
    assert predict.run(options(images, masks, overwrite=True), workspace).written == ("a", "b", "c")


def test_masks_of_other_settings_are_not_mixed(images: Path, workspace: Workspace, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    predict.run(options(images, masks, mirror=False), workspace)
    with pytest.raises(AutosegError, match="holds masks of another model or other settings: add --overwrite"):
        predict.run(options(images, masks), workspace)
    assert predict.run(options(images, masks, overwrite=True), workspace).written == ("a", "b", "c")


def test_a_bad_case_is_named_and_the_rest_goes_on(
    images: Path, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (images / "b_0000.nrrd").write_bytes(b"NRRD nonsense")
    with caplog.at_level(logging.WARNING):
        outcome = predict.run(options(images, tmp_path / "masks"), workspace)
    assert outcome.written == ("a", "c")
    assert list(outcome.failed) == ["b"]
    assert "b_0000.nrrd cannot be read" in outcome.failed["b"]
    assert "b failed" in caplog.text


def test_one_image_can_be_named(images: Path, workspace: Workspace, tmp_path: Path) -> None:
    predict.run(options(images / "a_0000.nii.gz", tmp_path / "my.nii.gz"), workspace)
    predict.run(options(images / "a_0000.nii.gz", tmp_path / "masks"), workspace)
    mask, _ = read_label(tmp_path / "my.nii.gz")
    np.testing.assert_array_equal(mask, read_label(tmp_path / "masks" / "a.nii.gz")[0])


def test_probabilities_are_kept_on_request(images: Path, workspace: Workspace, tmp_path: Path) -> None:
    predict.run(options(images / "a_0000.nii.gz", tmp_path / "masks", save_probabilities=True), workspace)
    for name in ("2d", "3d_fullres"):
        chances, record = load_probabilities(tmp_path / "masks" / "probabilities" / "a", name)
        assert chances.shape == (3, *record.shape_voxels)
        np.testing.assert_allclose(chances.sum(0), 1, atol=0.01)


def test_mistakes_are_told_in_one_line(images: Path, workspace: Workspace, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match=r"no images in .*empty"):
        predict.run(options(empty, tmp_path / "masks"), workspace)
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        predict.run(options(tmp_path / "nowhere", tmp_path / "masks"), workspace)
    with pytest.raises(AutosegError, match="a part of this path is a file"):
        predict.run(options(images, images / "a_0000.nii.gz" / "masks"), workspace)
    with pytest.raises(AutosegError, match="is where the images are: choose another output folder"):
        predict.run(options(images, images), workspace)
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(DatasetError, match=r"text\.txt is not a supported image"):
        predict.run(options(tmp_path / "text.txt", tmp_path / "masks"), workspace)
    with pytest.raises(SpecError, match="no configuration '3d_lowres'"):
        predict.run(options(images, tmp_path / "masks", configurations=("3d_lowres",)), workspace)


def test_a_missing_channel_is_named(workspace: Workspace, tmp_path: Path) -> None:
    folder = workspace.model("Dataset900_Tiny", "test")
    Model.load(folder / "model.json").model_copy(update={"channels": ("T1", "T2")}).save(folder / "model.json")
    source = tmp_path / "two"
    write_image(source / "p_0000.nii.gz", np.ones((1, 9, 9, 9), np.float32), Geometry((9, 9, 9), (1.0, 1.0, 1.0)))
    with pytest.raises(DatasetError, match=r"case p lacks channel 1 \(T2\)"):
        predict.run(options(source, tmp_path / "masks"), workspace)
    with pytest.raises(DatasetError, match=r"case p lacks the channel T2: add .*p_0001\.nii\.gz"):
        predict.run(options(source / "p_0000.nii.gz", tmp_path / "masks"), workspace)


@pytest.fixture
def trained(workspace: Workspace) -> Path:
    """A finished run with two held-out cases, stored and on disk."""
    chosen = _TINY.configuration("3d_fullres")
    labels = {"background": 0, "first": 1, "second": 2}
    run = Run(
        dataset="Dataset900_Tiny", fold="0", seed=0, device="cpu", precision="float32", plan="p", configuration=chosen,
        method=Method(name="test"), schedule=Schedule(epochs=1, iterations_per_epoch=1, validation_iterations=1),
        channels=("MR",), labels=labels, regions_class_order=None, mirror_axes=(0, 1, 2), train_cases=(),
        val_cases=("u", "v"), versions={},
    )  # fmt: skip
    Dataset(channel_names={"0": "MR"}, labels=labels, numTraining=2, file_ending=".nrrd").save(
        workspace.raw_dataset(run.dataset) / "dataset.json"
    )
    stored = workspace.cases(run.dataset, cases_digest(chosen.preprocessing))
    for seed, name in enumerate(run.val_cases):
        image = np.random.default_rng(seed).normal(size=(1, 10, 12, 9)).astype(np.float32)
        array, _, record, _ = preprocess_case(
            image,
            Geometry((10, 12, 9), (1.1, 0.9, 1.2)),
            None,
            chosen.preprocessing,
            LabelSpace.parse(labels),
            case_id=name,
        )
        save_case(stored, record, array, None, {}, patch_size_voxels=(8, 8, 8))
    folder = workspace.run(run.dataset, "test", "3d_fullres", "0")
    run.save(folder / "run.json")
    save_weights(folder / "weights_final.safetensors", _TINY.state(chosen, 5))
    return folder


def test_held_out_cases_are_predicted_once(trained: Path, workspace: Workspace) -> None:
    held_out = predict.HeldOutOptions("Dataset900_Tiny", "test", "3d_fullres", "0", device="cpu", threads=1)
    assert predict.run_held_out(held_out, workspace).written == ("u", "v")
    labels, geometry = read_label(trained / "validation" / "u.nrrd")
    assert geometry.spacing_mm == (1.1, 0.9, 1.2)
    assert labels.shape == (10, 12, 9)
    assert len(np.unique(labels)) > 1
    assert predict.run_held_out(held_out, workspace).kept == ("u", "v")
    save_weights(trained / "weights_final.safetensors", _TINY.state(_TINY.configuration("3d_fullres"), 6))
    assert predict.run_held_out(held_out, workspace).written == ("u", "v")


def test_held_out_cases_are_read_ahead_as_told(
    trained: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    original = held_out.run_conveyor
    monkeypatch.setattr(
        held_out,
        "run_conveyor",
        lambda *given, ahead, **more: asked.append(ahead) or original(*given, ahead=ahead, **more),
    )
    monkeypatch.setattr("autoseg.inference.within_memory._choose", lambda *_, ahead, **__: Thrift(ahead))
    predict.run_held_out(
        predict.HeldOutOptions("Dataset900_Tiny", "test", "3d_fullres", "0", device="cpu", workers=3), workspace
    )
    assert asked == [3]


def test_probabilities_of_held_out_cases_are_added_when_asked_for(trained: Path, workspace: Workspace) -> None:
    plain = predict.HeldOutOptions("Dataset900_Tiny", "test", "3d_fullres", "0", device="cpu", threads=1)
    predict.run_held_out(plain, workspace)
    assert not (trained / "validation" / "probabilities").exists()
    wanted = replace(plain, save_probabilities=True)
    assert predict.run_held_out(wanted, workspace).written == ("u", "v")
    probabilities, record = load_probabilities(trained / "validation" / "probabilities" / "u", "3d_fullres")
    assert probabilities.shape == (3, *record.shape_voxels)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=0.01)
    assert predict.run_held_out(wanted, workspace).kept == ("u", "v")
