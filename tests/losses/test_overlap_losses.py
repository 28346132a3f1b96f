"""Dice and Focal Tversky in all their forms, against the formulas written out with numpy."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.core.labels import LabelSpace
from autoseg.losses import losses

CLASSES = LabelSpace.parse({"background": 0, "a": 1, "b": 2})
REGIONS = LabelSpace(("whole", "core"), ((1, 2), (2,)), None, (1, 2))
Array = npt.NDArray[np.float64]
SHAPE = (3, 3, 4, 5)


def example(seed: int, *, regions: bool) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    if regions:
        x = torch.randn(3, 2, 4, 5, generator=generator)
        return x, torch.rand(x.shape, generator=generator) < 0.3
    return torch.randn(SHAPE, generator=generator), torch.randint(0, 3, (3, 1, 4, 5), generator=generator)


def volumes(x: torch.Tensor, y: torch.Tensor, *, with_background: bool) -> tuple[Array, Array, Array]:
    """Hits, predicted and reference volume (B, C), by numpy."""
    logits = x.numpy().astype(float)
    if y.dtype == torch.bool:
        chances, truth = 1 / (1 + np.exp(-logits)), y.numpy().astype(float)
    else:
        chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        truth = np.stack([y.numpy()[:, 0] == head for head in range(logits.shape[1])], 1).astype(float)
        first = 0 if with_background else 1
        chances, truth = chances[:, first:], truth[:, first:]
    return (chances * truth).sum((2, 3)), chances.sum((2, 3)), truth.sum((2, 3))


def pooled(volume: Array, pooling: str) -> Array:
    return {"sample": volume, "batch": volume.sum(0), "all": np.asarray(volume.sum())}[pooling]


def found(name: str, x: torch.Tensor, y: torch.Tensor, **options: Any) -> float:
    space, batch_dice = REGIONS if y.dtype == torch.bool else CLASSES, options.pop("batch_dice", False)
    return losses.build(name, options, space=space, batch_dice=batch_dice)(x, y).item()


FORMS = {
    "seed": st.integers(0, 99),
    "regions": st.booleans(),
    "with_background": st.booleans(),
    "pooling": st.sampled_from(["sample", "batch", "all"]),
    "smooth": st.sampled_from([1e-5, 1.0]),
}


@settings(max_examples=40)
@given(**FORMS, printed_form=st.booleans())
def test_dice(seed: int, regions: bool, with_background: bool, pooling: str, smooth: float, printed_form: bool) -> None:
    x, y = example(seed, regions=regions)
    hits, predicted, truth = (pooled(v, pooling) for v in volumes(x, y, with_background=with_background))
    expected = 1 - np.mean(((1 if printed_form else 2) * hits + smooth) / (predicted + truth + smooth))
    options = {"smooth": smooth, "with_background": with_background, "pooling": pooling, "printed_form": printed_form}
    assert found("dice", x, y, **options) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=40)
@given(
    **FORMS,
    gamma=st.sampled_from([0.75, 4 / 3, 3.0]),
    exponent=st.sampled_from(["gamma", "inverse_gamma"]),
    reduction=st.sampled_from(["mean", "sum"]),
)
def test_focal_tversky(
    seed: int,
    regions: bool,
    with_background: bool,
    pooling: str,
    smooth: float,
    gamma: float,
    exponent: str,
    reduction: str,
) -> None:
    x, y = example(seed, regions=regions)
    hits, predicted, truth = (pooled(v, pooling) for v in volumes(x, y, with_background=with_background))
    index = (hits + smooth) / (hits + 0.6 * (predicted - hits) + 0.2 * (truth - hits) + smooth)
    terms = (1 - index) ** (gamma if exponent == "gamma" else 1 / gamma)
    expected = terms.sum(-1).mean() if reduction == "sum" and terms.ndim else terms.mean()
    options = {"smooth": smooth, "with_background": with_background, "pooling": pooling, "gamma": gamma}
    value = found("focal_tversky", x, y, **options, alpha=0.6, beta=0.2, exponent=exponent, reduction=reduction)
    assert value == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["dice", "focal_tversky"])
def test_the_plan_decides_what_is_pooled(name: str) -> None:
    x, y = example(0, regions=False)
    assert found(name, x, y, batch_dice=True) == found(name, x, y, pooling="batch")
    assert found(name, x, y) == found(name, x, y, pooling="sample")
    assert found(name, x, y) != found(name, x, y, pooling="batch")


def test_two_classes_are_a_sigmoid_of_the_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 2, 6, 6, generator=generator), torch.randint(0, 2, (2, 1, 6, 6), generator=generator)
    one = LabelSpace.parse({"background": 0, "liver": 1})
    region = LabelSpace(("liver",), ((1,),), None, (1,))
    for name in ("dice", "focal_tversky", "godc", "bce", "focal", "advanced_combo"):
        by_class = losses.build(name, space=one, batch_dice=False)(x, y)
        by_region = losses.build(name, space=region, batch_dice=False)(x[:, 1:] - x[:, :1], y == 1)
        torch.testing.assert_close(by_class, by_region)


def test_focal_tversky_stands_still_where_all_is_right() -> None:
    y = example(0, regions=False)[1]
    x = (60 * torch.nn.functional.one_hot(y[:, 0], 3).movedim(-1, 1).float()).requires_grad_()
    for options in ({"gamma": 3.0}, {"gamma": 0.5, "exponent": "gamma"}):
        value = losses.build("focal_tversky", options, space=CLASSES, batch_dice=False)(x, y)
        value.backward()
        assert value.item() < 0.01
        assert torch.isfinite(x.grad).all()


def test_false_positives_cost_alpha_and_false_negatives_beta() -> None:
    y = torch.tensor([[[[1, 1, 0, 0]]]])
    too_much, too_little = torch.tensor([[[[1, 1, 1, 0]]]]), torch.tensor([[[[1, 0, 0, 0]]]])
    for alpha, beta in ((0.3, 0.7), (0.7, 0.3)):
        loss = losses.build("focal_tversky", {"alpha": alpha, "beta": beta}, space=CLASSES, batch_dice=False)
        costs = [
            loss(30 * torch.nn.functional.one_hot(guess[:, 0], 3).movedim(-1, 1).float(), y).item()
            for guess in (too_much, too_little)
        ]
        assert (costs[0] > costs[1]) == (alpha > beta)
