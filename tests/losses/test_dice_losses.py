"""Dice losses give nnU-Net v2's values and gradients."""

import json
from pathlib import Path

import pytest
import torch

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace
from autoseg.losses import losses
from autoseg.losses._deep_supervision import DeepSupervision, deep_supervision_weights
from autoseg.losses._overlap import online_counts
from autoseg.losses._targets import make_targets

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "losses.json").read_text())
CLASSES = LabelSpace.parse({"background": 0, "a": 1, "b": 2})
REGIONS = LabelSpace(("whole", "core", "none"), ((1, 2), (2,), (9,)), None, (1, 2, 9))


def logits(shape: tuple[int, ...]) -> torch.Tensor:
    """The formula of golden/make_losses.py."""
    index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (2 * torch.sin(1.7 * index + 0.3)).float().reshape(shape)


def labels(shape: tuple[int, ...], *, ignore: bool) -> torch.Tensor:
    """The formula of golden/make_losses.py."""
    index = torch.arange(torch.Size(shape).numel())
    return (index * index // 7 % (4 if ignore else 3)).reshape(shape)


def space_of(row: dict) -> LabelSpace:
    space = CLASSES if row["loss"] == "dice_ce" else REGIONS
    return LabelSpace(space.names, space.values, 3 if row["ignore"] else None, space.class_order)


@pytest.mark.parametrize("row", GOLDEN, ids=lambda r: f"{r['loss']}-batch_{r['batch_dice']}-ignore_{r['ignore']}")
class TestAgainstPeer:
    def test_value_and_gradient(self, row: dict) -> None:
        space = space_of(row)
        loss = losses.build(row["loss"], space=space, batch_dice=row["batch_dice"])
        x = logits((2, 3, 4, 6, 8)).requires_grad_()
        value = loss(x, *make_targets(labels((2, 1, 4, 6, 8), ignore=row["ignore"]), space))
        value.backward()
        assert value.item() == pytest.approx(row["value"], abs=1e-6)
        assert x.grad.norm().item() == pytest.approx(row["gradient_norm"], rel=1e-5)
        assert x.grad.flatten()[::97].tolist() == pytest.approx(row["gradient"], abs=1e-7)

    def test_deep_supervision(self, row: dict) -> None:
        space = space_of(row)
        single = losses.build(row["loss"], space=space, batch_dice=row["batch_dice"])
        levels = [logits((2, 3, *size)) for size in ((4, 6, 8), (2, 3, 4), (2, 2, 2))]
        y = labels((2, 1, 4, 6, 8), ignore=row["ignore"])
        value = DeepSupervision(single, deep_supervision_weights(3))(levels, y, space)
        assert value.item() == pytest.approx(row["deep_supervision"], abs=1e-6)


def test_all_ignored_leaves_no_cross_entropy() -> None:
    space = LabelSpace(CLASSES.names, CLASSES.values, 3)
    x = logits((1, 3, 4, 4)).requires_grad_()
    value = losses.build("dice_ce", space=space, batch_dice=False)(x, *make_targets(torch.full((1, 1, 4, 4), 3), space))
    value.backward()
    assert value.item() == pytest.approx(-1)
    assert not x.grad.any()


def test_weights_and_background() -> None:
    x, (y, mask) = logits((2, 3, 4, 4)), make_targets(labels((2, 1, 4, 4), ignore=False), CLASSES)

    def value(**options: object) -> float:
        return losses.build("dice_ce", options, space=CLASSES, batch_dice=True)(x, y, mask).item()

    entropy = torch.nn.functional.cross_entropy(x, y[:, 0]).item()
    assert value(weight_dice=0) == pytest.approx(entropy, abs=1e-6)
    assert value() == pytest.approx(value(weight_dice=0) + value(weight_ce=0), abs=1e-6)
    assert value(weight_ce=2) == pytest.approx(2 * entropy + value(weight_ce=0), abs=1e-6)
    assert value(with_background=True) != pytest.approx(value(), abs=1e-3)


def test_region_weights() -> None:
    x, (y, mask) = logits((2, 3, 4, 4)), make_targets(labels((2, 1, 4, 4), ignore=False), REGIONS)

    def value(**options: object) -> float:
        return losses.build("dice_bce", options, space=REGIONS, batch_dice=False)(x, y, mask).item()

    entropy = torch.nn.functional.binary_cross_entropy_with_logits(x, y.float()).item()
    assert value(weight_dice=0) == pytest.approx(entropy, abs=1e-6)
    assert value(weight_bce=0.5) == pytest.approx(0.5 * entropy + value(weight_bce=0), abs=1e-6)


def test_logits_of_any_size_stay_finite() -> None:
    for name, space in (("dice_ce", CLASSES), ("dice_bce", REGIONS)):
        x = (1e4 * logits((1, 3, 4, 4))).requires_grad_()
        value = losses.build(name, space=space, batch_dice=False)(
            x, *make_targets(labels((1, 1, 4, 4), ignore=False), space)
        )
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(x.grad).all()


def test_the_wrong_kind_of_labels_is_refused() -> None:
    with pytest.raises(SpecError, match=r"dice_ce' is for exclusive classes.*choose 'dice_bce'"):
        losses.build("dice_ce", space=REGIONS, batch_dice=False)
    with pytest.raises(SpecError, match=r"dice_bce' is for regions.*choose 'dice_ce'"):
        losses.build("dice_bce", space=CLASSES, batch_dice=False)


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("space", [CLASSES, REGIONS], ids=["classes", "regions"])
def test_online_counts_by_hand(space: LabelSpace, ignore: bool) -> None:
    space = LabelSpace(space.names, space.values, 3 if ignore else None, space.class_order)
    x, y = logits((2, 3, 4, 6, 8)), labels((2, 1, 4, 6, 8), ignore=ignore)
    counts = torch.stack(online_counts(x, *make_targets(y, space)), -1)
    valid = y[:, 0] != 3 if ignore else torch.ones_like(y[:, 0], dtype=torch.bool)
    for row, (values, head) in zip(counts.tolist(), zip(space.values, range(3), strict=False), strict=True):
        found = x[:, head].sigmoid() > 0.5 if space.is_regions else x.argmax(1) == head + 1
        truth = torch.isin(y[:, 0], torch.tensor(values))
        expected = [(found & truth & valid), (found & ~truth & valid), (~found & truth & valid)]
        assert row == [int(part.sum()) for part in expected]
