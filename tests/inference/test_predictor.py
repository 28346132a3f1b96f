"""The Python API: every kind of source, ensembles, cascades and probabilities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its usual name
import torch

from autoseg.core.errors import DatasetError
from autoseg.core.geometry import Geometry
from autoseg.inference.cascade import with_previous_labels
from autoseg.inference.export import merged_labels_on_native_grid
from autoseg.inference.predictor import Predictor
from autoseg.inference.probabilities import load_probabilities, save_probabilities
from autoseg.io.images import read_image
from autoseg.postprocessing import apply_steps
from autoseg.preprocessing.masks import labels_on_plan_grid
from autoseg.specs.document import Component
from autoseg.specs.model import Model
from autoseg.specs.postprocess import POSTPROCESS_FILE, Postprocess

Maker = Callable[..., Model]


@pytest.fixture
def predictor(tmp_path: Path, make_model: Maker) -> Predictor:
    make_model(tmp_path / "model", "2d", "3d_fullres")
    return Predictor.load(tmp_path / "model", device="cpu", precision="float32")


def test_every_kind_of_source_gives_the_same_labels(predictor: Predictor, images: Path) -> None:
    path = images / "b_0000.nrrd"
    expected = predictor.predict(path)
    image = read_image(path)
    assert expected.geometry == image.geometry
    assert expected.labels.shape == image.geometry.shape
    assert len(np.unique(expected.labels)) > 1
    np.testing.assert_array_equal(predictor.predict(str(path)).labels, expected.labels)
    np.testing.assert_array_equal(predictor.predict([path]).labels, expected.labels)
    from_itk = predictor.predict(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(from_itk.labels, expected.labels)
    assert not from_itk.geometry.differences(expected.geometry)


def test_arrays_have_a_spacing_and_perhaps_a_channel_axis(predictor: Predictor, images: Path) -> None:
    array = read_image(images / "a_0000.nii.gz").array[0]
    flat = predictor.predict((array, (1.0, 1.2, 0.9)))
    assert flat.geometry.spacing_mm == (1.0, 1.2, 0.9)
    np.testing.assert_array_equal(predictor.predict((array[None], (1.0, 1.2, 0.9))).labels, flat.labels)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "a int is not an image"),
        ((np.zeros((4, 4)), (1, 1)), r"an array of shape \(4, 4\) .* is not a volume"),
        ((np.zeros((2, 4, 4, 4)), (1, 1, 1)), r"array has 2 channels, the model takes 1 \(MR\)"),
        ("nowhere.nii.gz", "nowhere.nii.gz does not exist"),
    ],
)
def test_other_sources_are_refused(predictor: Predictor, source: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        predictor.predict(source)


def test_members_are_averaged(predictor: Predictor, images: Path) -> None:
    image = read_image(images / "a_0000.nii.gz")
    members = predictor.logits(predictor.prepare(image.array, image.geometry))
    assert len(members) == 2
    expected = merged_labels_on_native_grid(members, predictor.space)
    np.testing.assert_array_equal(predictor.predict(images / "a_0000.nii.gz").labels, expected)


def test_settings_of_the_model_can_be_replaced(tmp_path: Path, make_model: Maker) -> None:
    make_model(tmp_path, "2d", "3d_fullres")
    plain = Predictor.load(tmp_path, device="cpu")
    assert plain.runner.mirror_axes == (0, 2)
    assert plain.runner.step_size == 0.5
    chosen = Predictor.load(
        tmp_path, device="cpu", mirror=False, step_size=1.0, configurations=("2d",), folds=("1",), precision="float32"
    )
    assert chosen.runner.mirror_axes == ()
    assert chosen.runner.step_size == 1.0
    assert chosen.final == ("2d",)
    assert len(chosen.members[0].networks) == 1


def test_sums_of_imported_models_are_rounded_as_nnunet_rounds_them(tmp_path: Path, make_model: Maker) -> None:
    make_model(tmp_path, "3d_fullres")
    assert not Predictor.load(tmp_path).runner.half_sums
    (tmp_path / "origin").mkdir()
    predictor, grid = Predictor.load(tmp_path), Geometry((20, 9, 8), (1.0, 1.0, 1.0))
    logits = predictor.logits(predictor.prepare(np.random.default_rng(0).normal(size=(1, 20, 9, 8)), grid))[0].logits
    assert torch.equal(logits, logits.half().float())


def test_a_cascade_sees_the_labels_of_its_first_stage(tmp_path: Path, make_model: Maker, images: Path) -> None:
    make_model(tmp_path, "3d_lowres", cascade=True)
    predictor = Predictor.load(tmp_path, device="cpu", precision="float32")
    first_only = Predictor.load(tmp_path, device="cpu", precision="float32", configurations=("3d_lowres",))
    image = read_image(images / "a_0000.nii.gz")
    prepared = predictor.prepare(image.array, image.geometry)
    previous = first_only.predict(images / "a_0000.nii.gz").labels
    second = predictor.members[1]
    section = second.configuration.preprocessing
    stored, record = prepared.images[section.digest()]
    previous = labels_on_plan_grid(previous, record, section.resampling)
    (found,) = predictor.logits(prepared)
    expected = predictor.runner.logits(second.networks, second.configuration, stored, record, previous)
    torch.testing.assert_close(found.logits, expected.logits)
    blank = predictor.runner.logits(second.networks, second.configuration, stored, record, previous * 0)
    assert not torch.allclose(found.logits, blank.logits)


def test_labels_take_the_way_of_the_image(predictor: Predictor, images: Path) -> None:
    image = read_image(images / "a_0000.nii.gz")
    section = predictor.members[0].configuration.preprocessing
    _, record = predictor.prepare(image.array, image.geometry).images[section.digest()]
    labels = predictor.predict(images / "a_0000.nii.gz").labels
    moved = labels_on_plan_grid(labels, record, section.resampling)
    assert moved.shape == record.shape_voxels
    joined = with_previous_labels(torch.zeros(1, *moved.shape), moved, (1, 2))
    assert joined.shape == (3, *moved.shape)
    np.testing.assert_array_equal(joined[2].numpy() == 1, moved == 2)


@pytest.mark.parametrize("regions", [False, True])
def test_probabilities_are_kept_to_half_a_percent(
    predictor: Predictor, images: Path, tmp_path: Path, regions: bool
) -> None:
    image = read_image(images / "a_0000.nii.gz")
    member = predictor.logits(predictor.prepare(image.array, image.geometry))[1]
    save_probabilities(tmp_path / "kept", "3d_fullres", member, regions=regions)
    found, record = load_probabilities(tmp_path / "kept", "3d_fullres")
    expected = member.logits.float().sigmoid() if regions else member.logits.float().softmax(0)
    np.testing.assert_allclose(found, expected.numpy(), atol=0.0021)
    assert record == member.record


def test_missing_and_damaged_probabilities_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"x\.b2nd cannot be read"):
        load_probabilities(tmp_path, "x")
    (tmp_path / "x.b2nd").write_bytes(b"nonsense")
    with pytest.raises(DatasetError, match=r"x\.b2nd cannot be read"):
        load_probabilities(tmp_path, "x")


def test_the_steps_of_the_model_folder_are_applied(tmp_path: Path, make_model: Maker, images: Path) -> None:
    folder = tmp_path / "model"
    model = make_model(folder, "2d", "3d_fullres")
    steps = (Component(name="keep_largest", options={"labels": [1]}),)
    Postprocess(steps=steps, configurations=model.selected, model=model.digest()).save(folder / POSTPROCESS_FILE)
    plain = Predictor.load(folder, device="cpu", precision="float32", postprocess=False)
    cleaned = Predictor.load(folder, device="cpu", precision="float32")
    image = images / "a_0000.nii.gz"
    expected = apply_steps(steps, plain.predict(image).labels, read_image(image).geometry.spacing_mm)
    np.testing.assert_array_equal(cleaned.predict(image).labels, expected)
    assert not np.array_equal(expected, plain.predict(image).labels)
    alone = Predictor.load(folder, device="cpu", precision="float32", configurations=("2d",))
    assert (alone.steps, plain.steps, cleaned.steps) == ((), (), steps)
