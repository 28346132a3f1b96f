"""Live parts from documents: equal recipes give equal parts."""

import pytest
import torch
from tiny import configuration, method, tiny_parts, tiny_run

from autoseg.specs.document import Component
from autoseg.training.assembly import patch_geometry


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    weights = [tiny_parts(tiny_run(seed=seed)).state.network.state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator is left alone"
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_training_and_validation_draw_differently():
    parts = tiny_parts(tiny_run())
    assert parts.train.batch(0).seeds != parts.validation.batch(0).seeds
    assert set(parts.validation.batch(0).cases) == {"c"}


@pytest.mark.parametrize(("chosen", "levels"), [(True, 1), (False, 1)])
def test_deep_supervision_is_the_networks_and_the_loss(chosen, levels):
    parts = tiny_parts(tiny_run(method(deep_supervision=chosen)))
    assert parts.state.network.deep_supervision is chosen
    outputs = parts.state.network(torch.zeros(1, 1, 8, 8, 8))
    assert isinstance(outputs, torch.Tensor) is (not chosen)
    assert parts.objective.loss(outputs, torch.zeros(1, 1, 8, 8, 8, dtype=torch.int16)).isfinite()


def test_averages_and_scalers_only_where_they_are_asked_for():
    assert tiny_parts(tiny_run()).state.average is None
    assert tiny_parts(tiny_run(method(weight_average=0.9))).state.average is not None
    assert tiny_parts(tiny_run()).state.scaler is None
    assert tiny_parts(tiny_run(), precision=torch.float16).state.scaler is not None


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True)])
def test_batches_for_cuda_are_pinned(monkeypatch, device, pinned):
    monkeypatch.setattr(torch.nn.Module, "to", lambda network, _: network)
    parts = tiny_parts(tiny_run(), device=device)
    assert parts.train.pinned is parts.validation.pinned is pinned


def test_spatial_augmentation_reads_more_than_the_patch():
    spatial = Component(name="spatial", options={"p_rotation": 1.0, "angle_degrees": 45.0})
    parts = tiny_parts(tiny_run(method(augment=(spatial,))))
    assert parts.train.source[0] > 8
    assert parts.validation.source == (8, 8, 8)
    image, labels = parts.augment(parts.train.batch(0).image, parts.train.batch(0).labels, seeds=(1, 2))
    assert image.shape == (2, 1, 8, 8, 8)
    assert labels.shape == (2, 1, 8, 8, 8)


@pytest.mark.parametrize(("dimensions", "axes"), [(3, (0, 2)), (2, (1,))])
def test_mirrored_axes_are_numbered_within_the_patch(dimensions, axes):
    geometry = patch_geometry(configuration(dimensions), (0, 2))
    assert geometry.mirror_axes == axes
    assert geometry.channels == 1
    assert geometry.masked_channels == ()
