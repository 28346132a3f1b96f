"""Cases of a cascade: two label maps, moved together, stopped and resumed exactly."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch
from cases import MemoryCase
from tiny import Silent, configuration, method, tiny_run

from autoseg.core.errors import DatasetError, Interrupted
from autoseg.core.labels import LabelSpace
from autoseg.specs.document import Component
from autoseg.training.agreement import FINAL
from autoseg.training.assembly import Recipe, assemble
from autoseg.training.previous import CascadeCase
from autoseg.training.timing import measure_step
from autoseg.training.trainer import Trainer

AUGMENT = (
    Component(name="spatial"),
    Component(name="mirror"),
    Component(name="cascade", options={"p_operator": 1.0, "radius": (1.0, 2.0)}),
)


class MemoryLabels:
    def __init__(self, labels):
        self.labels, self.shape = labels, labels.shape

    def read_patch(self, start, stop):
        return self.labels[tuple(slice(first, last) for first, last in zip(start, stop, strict=True))]


def cascade_case(name, *, missed=0):
    """The previous stage found the ball, but for its first planes."""
    case = MemoryCase(name)
    found = case.labels.copy()
    found[:missed] = 0
    return CascadeCase(case, MemoryLabels(found))


def cascade_run(**choices):
    run = tiny_run(method(augment=AUGMENT, **choices))
    staged = configuration().model_copy(update={"previous_stage": "3d_lowres"})
    return run.model_copy(update={"configuration": staged})


def cascade_parts(run):
    recipe = Recipe(
        configuration=run.configuration,
        train=run.method.train,
        space=LabelSpace.parse(run.labels, run.regions_class_order),
        channels=1,
        mirror_axes=run.mirror_axes,
        seed=run.seed,
        device=torch.device("cpu"),
        precision=torch.float32,
    )
    return assemble(recipe, train_cases=[cascade_case("a"), cascade_case("b")], val_cases=[cascade_case("c", missed=5)])


def test_a_patch_brings_both_label_maps():
    case = cascade_case("a", missed=4)
    assert (case.shape, case.channels, case.annotated) == ((12, 14, 16), 1, case.case.annotated)
    assert case.locations is case.case.locations
    image, labels = case.read_patch((2, 3, 4), (8, 9, 12))
    assert image.shape == (1, 6, 6, 8)
    np.testing.assert_array_equal(labels[0], case.case.labels[2:8, 3:9, 4:12])
    np.testing.assert_array_equal(labels[1], case.previous.labels[2:8, 3:9, 4:12])


def test_another_grid_is_refused():
    with pytest.raises(DatasetError, match=r"labels of a have the shape \[3, 3, 3\], the case \[12, 14, 16\]: delete"):
        CascadeCase(MemoryCase("a"), MemoryLabels(np.zeros((3, 3, 3))))


def test_batches_carry_both_maps_and_the_network_one_channel_per_label():
    parts = cascade_parts(cascade_run())
    batch = parts.train.batch(0)
    assert batch.labels.shape[:2] == (2, 2)
    image, labels = parts.augment(batch.image, batch.labels, seeds=batch.seeds)
    assert image.shape == (2, 2, 8, 8, 8)
    assert labels.shape == (2, 1, 8, 8, 8)
    assert parts.state.network(image)[0].shape == (2, 2, 8, 8, 8)


def test_validation_is_given_the_previous_labels_as_they_are():
    parts = cascade_parts(cascade_run())
    batch = parts.validation.batch(0)
    image, labels = parts.centre_crop(batch.image, batch.labels, seeds=batch.seeds)
    assert torch.equal(image[:, 1], (batch.labels[:, 1] == 1).float())
    assert torch.equal(labels[:, 0], batch.labels[:, 0])
    assert image[:, 1].sum() < (labels == 1).sum(), "the previous stage missed a part"


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_cascade_stops_and_goes_on_exactly(tmp_path, stop_after):
    run = cascade_run(weight_average=0.9)
    weights = []
    for name, stops in (("unbroken", False), ("stopped", True)):
        folder = tmp_path / name
        folder.mkdir()
        if stops:
            observer = Silent()
            observer.updated = lambda update, *_: update == stop_after and signal.raise_signal(signal.SIGTERM)
            with pytest.raises(Interrupted):
                Trainer(run, folder, cascade_parts(run), observer).fit()
        Trainer(run, folder, cascade_parts(run), Silent()).fit()
        weights.append((folder / FINAL).read_bytes())
    assert weights[0] == weights[1]


def test_its_step_is_measured_for_a_time_budget():
    assert measure_step(cascade_parts(cascade_run()), clip=12.0).least_s > 0
