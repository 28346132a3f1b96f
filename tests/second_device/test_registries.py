"""Whatever is registered computes on another device what it computes on the host, and never mixes the two."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from small import two_levels
from tiny import Silent, method, tiny_parts, tiny_run
from torch import nn
from twin import Twin

from autoseg.augment import augmentations
from autoseg.augment._geometry import PatchGeometry
from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace
from autoseg.inference.forward import Swap, cast_networks
from autoseg.inference.sliding import predict_logits
from autoseg.inference.sums import Sums
from autoseg.losses import losses
from autoseg.losses._targets import make_targets
from autoseg.networks import networks
from autoseg.specs.document import Component
from autoseg.training.objective import Objective
from autoseg.training.step import gradient_step
from autoseg.training.trainer import Trainer

GEOMETRIES = [
    PatchGeometry((6, 10, 12), channels=2, masked_channels=(1,), previous_values=(1, 5)),
    PatchGeometry((12, 10), channels=2, previous_values=(1, 5)),
]
SPACES = {
    "classes": LabelSpace.parse({"background": 0, "a": 1, "b": 2, "ignore": 3}),
    "regions": LabelSpace.parse({"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}, [1, 2]),
}
ANSWERS = {
    # Where labels differ they are weighed, and weighed again where three meet: in how many voxels is that?
    "spatial": {"nonzero": 2},
    "random_crop": {"nonzero": 2},
    # Connected components are found on the host; a mask is worked on in its box.
    "cascade": {"to the host": 2, "from the host": 1},
}
"""How often an augmentation of labels may wait for the device, per sample and map; the others never do."""


def certain(name: str) -> dict[str, float]:
    """Options that make an augmentation happen."""
    fields = augmentations.load(name).Options.model_fields
    return {field: 1.0 for field in fields if field == "p" or field.startswith("p_")}


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=["3d", "2d"])
@pytest.mark.parametrize("name", augmentations.names())
def test_augmentations(gpu: Twin, name: str, geometry: PatchGeometry) -> None:
    transform = augmentations.build(name, certain(name), geometry=geometry)
    source = transform.source_size_voxels
    image = torch.randn((3, 2, *source), generator=torch.Generator().manual_seed(1))
    labels = torch.zeros((3, 2, *source), dtype=torch.int16)
    labels[..., source[-1] // 3 :] = 1
    labels[..., source[-2] // 2 :, : source[-1] // 3] = 5
    params = [transform.draw(torch.Generator().manual_seed(seed)) for seed in range(3)]
    expected = transform.apply_image(image.clone(), params), transform.apply_labels(labels.clone(), params)
    there, labels_there = image.to(gpu.device), labels.to(gpu.device)
    gpu.waits.clear()
    moved = transform.apply_image(there, params)
    assert not gpu.waits
    moved_labels = transform.apply_labels(labels_there, params)
    most = ANSWERS.get(name, {})
    assert all(count <= 3 * 2 * most.get(wait, 0) for wait, count in gpu.waits.items()), gpu.waits
    torch.testing.assert_close(moved.cpu(), expected[0], atol=1e-5, rtol=1e-5)
    assert torch.equal(moved_labels.cpu(), expected[1])


NETWORKS = [*((name, {}) for name in networks.names()), ("plain_unet", {"skip": "aligned"})]
NETWORK_IDS = [*networks.names(), "aligned"]


def built(name: str, chosen: dict[str, Any], dimensions: int) -> nn.Module:
    example = getattr(networks.load(name), "example_options", None)
    options = (example(dimensions) if example else {}) | chosen
    torch.manual_seed(0)
    network = networks.build(name, options, topology=two_levels(dimensions), channels=2, heads=3)
    network.deep_supervision = True
    return network


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(("name", "chosen"), NETWORKS, ids=NETWORK_IDS)
def test_networks(gpu: Twin, name: str, chosen: dict[str, Any], dimensions: int) -> None:
    here = built(name, chosen, dimensions)
    there = copy.deepcopy(here).to(gpu.device)
    image = torch.randn(2, 2, *(16,) * dimensions)
    found = []
    for network, given in ((here, image), (there, image.to(gpu.device))):
        levels = network(given)
        torch.autograd.backward(sum(level.square().mean() for level in levels))
        found.append([*levels, *(weight.grad for weight in network.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other.detach().cpu(), one.detach(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("name", "chosen"), NETWORKS, ids=NETWORK_IDS)
def test_networks_in_half_precision(gpu: Twin, name: str, chosen: dict[str, Any], kind: torch.dtype) -> None:
    """Cast by CUDA's rules, which are not those of a CPU."""
    network, image = built(name, chosen, 3).to(gpu.device), torch.randn(2, 2, 16, 16, 16).to(gpu.device)
    exact = network(image)
    with torch.autocast(gpu.device.type, kind):
        levels = network(image)
    torch.autograd.backward(sum(level.float().square().mean() for level in levels))
    assert all(weight.grad.isfinite().all() for weight in network.parameters())
    for half, level in zip(levels, exact, strict=True):
        assert (half.float() - level).abs().mean() < 0.08 * level.abs().mean() + 0.02


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("name", losses.names())
def test_losses(gpu: Twin, name: str, kind: str) -> None:
    space = SPACES[kind]
    try:
        loss = losses.build(name, space=space, batch_dice=True)
    except SpecError:
        return  # it says itself that it does not take such labels
    labels = torch.randint(0, 4, (2, 1, 6, 8, 7), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(2, space.heads, 6, 8, 7, generator=torch.Generator().manual_seed(1))
    found = []
    for device in ("cpu", gpu.device):
        asked, known = logits.clone().to(device).requires_grad_(), labels.to(device)
        gpu.waits.clear()
        value = loss(asked, *make_targets(known, space))
        value.backward()
        assert not gpu.waits
        found.append((value.detach().cpu(), asked.grad.cpu()))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize(("name", "kind"), [("dice_ce", "classes"), ("dice_bce", "regions")])
def test_deep_supervision_and_counts(gpu: Twin, name: str, kind: str) -> None:
    objective = Objective(Component(name=name), space=SPACES[kind], batch_dice=False, levels=3)
    labels = torch.randint(-1, 4, (2, 1, 9, 12, 8), generator=torch.Generator().manual_seed(0))
    levels = [torch.randn(2, SPACES[kind].heads, -(-9 // step), 12 // step, 8 // step) for step in (1, 2, 4)]
    found = []
    for device in ("cpu", gpu.device):
        judged = [level.to(device) for level in levels], labels.to(device)
        found.append((objective.loss(*judged).cpu(), objective.counts(*judged).cpu()))
    torch.testing.assert_close(found[1], found[0])


def augmented(name: str = "sgd", **more: Any) -> Any:
    """A run with every augmentation that its patch allows."""
    names = sorted(set(augmentations.names()) - {"random_crop"}, key=lambda each: each != "spatial")
    augment = tuple(Component(name=each, options=certain(each)) for each in names)
    return tiny_run(method(name=name, augment=augment, **more))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "muon"])
def test_runs(gpu: Twin, name: str, tmp_path: Path) -> None:
    """Updates, epochs, averages and checkpoints; and what stopped on the device goes on without it."""
    run, losses = augmented(name, weight_average=0.9), []
    for folder, device in (("here", "cpu"), ("there", gpu.device)):
        observer = Silent()
        (tmp_path / folder).mkdir()
        Trainer(run, tmp_path / folder, tiny_parts(run, device=device), observer).fit()
        losses.append(observer.losses)
        assert len(observer.losses) == 4
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)  # Adam enlarges rounding
    longer, observer = run.model_copy(update={"schedule": run.schedule.model_copy(update={"epochs": 3})}), Silent()
    Trainer(longer, tmp_path / "there", tiny_parts(longer), observer).fit()
    assert len(observer.losses) == 2


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_updates_in_half_precision(gpu: Twin, name: str, kind: torch.dtype) -> None:
    """With a gradient scaler in float16; what it has learned is about what float32 learns."""
    found = []
    for precision in (torch.float32, kind):
        parts = tiny_parts(augmented(name), device=gpu.device, precision=precision)
        assert (parts.state.scaler is not None) is (precision == torch.float16)
        found.append([gradient_step(parts, parts.train.batch(index), clip=12.0) for index in range(4)])
    assert found[1] == pytest.approx(found[0], abs=0.05)


def test_an_update_waits_for_the_device_once(gpu: Twin) -> None:
    """For its loss; all else is queued, but for what rotated labels ask."""
    run = augmented()
    parts = tiny_parts(run, device=gpu.device)
    batch = parts.train.batch(0)
    gradient_step(parts, batch, clip=12.0)
    gpu.waits.clear()
    gradient_step(parts, batch, clip=12.0)
    assert gpu.waits == {"_local_scalar_dense": 1, "nonzero": 2 * len(batch.seeds)}


def test_partly_annotated_samples_in_parts(gpu: Twin) -> None:
    run = tiny_run()
    found = []
    for device in ("cpu", gpu.device):
        parts = tiny_parts(run, device=device, annotated=("ball",))
        parts.accumulate = 2
        found.append([gradient_step(parts, parts.train.batch(index), clip=12.0) for index in range(3)])
    assert found[1] == pytest.approx(found[0], abs=1e-5)


class Uneven(nn.Module):
    """Its answer changes with mirroring, and with what is where in the window."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = (nn.Conv3d if dimensions == 3 else nn.Conv2d)(2, 3, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layer(image)


@pytest.mark.parametrize("half_sums", [False, True])
@pytest.mark.parametrize("patch", [(8, 8, 8), (8, 8)], ids=["3d", "2d"])
def test_sliding_windows(gpu: Twin, patch: tuple[int, ...], half_sums: bool) -> None:
    image, found = torch.randn(2, 11, 9, 20, generator=torch.Generator().manual_seed(0)), []
    for device in ("cpu", gpu.device):
        made = cast_networks([Uneven(len(patch))], device=device, precision="float32")
        logits = predict_logits(
            made,
            image,
            patch_size_voxels=patch,
            mirror_axes=(0, 1, 2),
            device=device,
            half_sums=half_sums,
            swap=Swap(2, (1, 0), (0, 2, 1)),
        )
        assert logits.device.type == "cpu"
        found.append(logits)
    tolerance = 1e-2 if half_sums else 1e-5
    torch.testing.assert_close(found[1], found[0], atol=tolerance, rtol=tolerance)


class Crowded(nn.Module):
    """Runs out of memory from its third call on, until the sums have left the device."""

    def __init__(self, sums: list[Sums]) -> None:
        super().__init__()
        self.uneven, self.sums, self.calls = Uneven(3), sums, 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > 2 and self.sums[-1].totals.device.type != "cpu":
            raise torch.OutOfMemoryError
        return self.uneven(image)


@pytest.mark.parametrize("half_sums", [False, True])
def test_sums_leave_a_full_device(gpu: Twin, half_sums: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sums: list[Sums] = []

    class Watched(Sums):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            sums.append(self)

    image = torch.randn(2, 17, 9, 20, generator=torch.Generator().manual_seed(0))
    expected = predict_logits([Uneven(3)], image, patch_size_voxels=(8, 8, 8), half_sums=half_sums)
    monkeypatch.setattr("autoseg.inference.sliding.Sums", Watched)
    (made,) = cast_networks([Crowded(sums)], device=gpu.device, precision="float32")
    found = predict_logits(
        [made], image, patch_size_voxels=(8, 8, 8), half_sums=half_sums, device=gpu.device, batch_windows=2
    )
    assert sums[-1].totals.device.type == "cpu"
    tolerance = 1e-2 if half_sums else 1e-5
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


def test_tiles_with_context(gpu: Twin) -> None:
    options = {"norm": "batch", "context_voxels": (6, 6, 6)}
    torch.manual_seed(0)
    network = networks.build("plain_unet", options, topology=two_levels(3), channels=2, heads=3).eval()
    image, found = torch.randn(2, 9, 12, 17), []
    for device in ("cpu", gpu.device):
        (made,) = cast_networks([copy.deepcopy(network)], device=device, precision="float32")
        tiled = predict_logits([made], image, patch_size_voxels=(8, 8, 8), context_voxels=(6, 6, 6), device=device)
        found.append(tiled)
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-4)
