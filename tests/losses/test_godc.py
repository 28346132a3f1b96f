"""The gradient-optimised Dice pulls on small and large objects alike."""

import pytest
import torch

from autoseg.core.labels import LabelSpace
from autoseg.losses import losses
from autoseg.losses._overlap import class_sums
from autoseg.losses.godc import Options, batch_weights, gradient_optimized_dice

REGION = LabelSpace(("liver",), ((1,),), None, (1,))
CLASSES = LabelSpace.parse({"background": 0, "a": 1, "b": 2})
SIZES_VOXELS = (100, 1_000, 10_000, 100_000)
EXACT = Options(smooth=0)


def soft_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities (3, 2, 6, 7) in float64 and references of different sizes."""
    generator = torch.Generator().manual_seed(0)
    chances = torch.rand(3, 2, 6, 7, generator=generator, dtype=torch.float64)
    truth = torch.rand(3, 2, 6, 7, generator=generator) < torch.tensor([0.1, 0.4, 0.8]).view(3, 1, 1, 1)
    return chances.requires_grad_(), truth


def derivative(chances: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """-2 (Y - IoU (1 - Y)) / ((1 + IoU)^2 U) per sample and region, and U."""
    y = truth.double()
    intersection = (chances * y).sum((2, 3), keepdim=True)
    union = (chances + y - chances * y).sum((2, 3), keepdim=True)
    iou = intersection / union
    return (-2 * (y - iou * (1 - y)) / ((1 + iou) ** 2 * union)).detach(), union.detach()


def gradient(value: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(value, of)
    return found


def test_autograd_of_the_dice_is_the_corrected_derivative() -> None:
    chances, truth = soft_batch()
    for sample in range(3):  # a batch of one is plain Dice
        one = slice(sample, sample + 1)
        alone = gradient_optimized_dice(class_sums(chances[one], truth[one], None, with_background=True), EXACT)
        expected, _ = derivative(chances[one], truth[one])
        torch.testing.assert_close(2 * gradient(alone, chances)[one], expected, rtol=1e-6, atol=0)


def test_autograd_of_godc_has_the_mean_union_instead_of_the_own() -> None:
    chances, truth = soft_batch()
    value = gradient_optimized_dice(class_sums(chances, truth, None, with_background=True), EXACT)
    plain, union = derivative(chances, truth)
    expected = plain * union / union.mean(0, keepdim=True)
    torch.testing.assert_close(6 * gradient(value, chances), expected, rtol=1e-6, atol=0)


def test_the_printed_derivative_is_half_of_it_on_background() -> None:
    chances, truth = soft_batch()
    chances, truth = chances[:1], truth[:1]
    value = gradient_optimized_dice(class_sums(chances, truth, None, with_background=True), EXACT)
    y, (_, union) = truth.double(), derivative(chances, truth)
    iou = (chances * y).sum((2, 3), keepdim=True) / union
    printed = -(2 * y - iou * (1 - y)) / ((1 + iou) ** 2 * union)
    found = 2 * gradient(value, chances)
    torch.testing.assert_close(found[truth], printed[truth])
    torch.testing.assert_close(found[~truth], 2 * printed[~truth])


def objects() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and references of 100 to 100,000 voxels: probability 0.7 inside and on a fifth as much around."""
    logits, truth = torch.full((len(SIZES_VOXELS), 1, 125_000), -30.0), torch.zeros(4, 1, 125_000, dtype=torch.bool)
    for sample, size in enumerate(SIZES_VOXELS):
        logits[sample, 0, : size + size // 5] = 0.8473
        truth[sample, 0, :size] = True
    shape = (4, 1, 50, 50, 50)
    return logits.view(shape).requires_grad_(), truth.view(shape)


def steepest(name: str, **options: object) -> torch.Tensor:
    """Largest gradient of each sample of one batch."""
    logits, truth = objects()
    loss = losses.build(name, options, space=REGION, batch_dice=False)
    return gradient(loss(logits, truth), logits).abs().amax((1, 2, 3, 4))


def test_largest_gradient_falls_with_size_under_dice_and_is_flat_under_godc() -> None:
    sizes = torch.tensor(SIZES_VOXELS, dtype=torch.float32)
    dice, ours = steepest("dice"), steepest("godc")
    torch.testing.assert_close(dice * sizes / (dice[0] * sizes[0]), torch.ones(4), rtol=0.01, atol=0)
    torch.testing.assert_close(ours / ours.mean(), torch.ones(4), rtol=0.05, atol=0)
    growing = steepest("godc", power=2)
    torch.testing.assert_close(growing / growing[0], sizes / sizes[0], rtol=0.01, atol=0)


@pytest.mark.parametrize("normalize", ["mean", "l2", "max"])
def test_one_sample_is_plain_dice(normalize: str) -> None:
    x = torch.randn(1, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    y = torch.randint(0, 3, (1, 1, 5, 6), generator=torch.Generator().manual_seed(2))
    ours = losses.build("godc", {"normalize": normalize}, space=CLASSES, batch_dice=True)
    dice = losses.build("dice", {"pooling": "sample"}, space=CLASSES, batch_dice=True)
    torch.testing.assert_close(ours(x, y), dice(x, y))


def test_weights_by_hand() -> None:
    union = torch.tensor([[3.0, 0.0], [4.0, 2.0]])
    assert batch_weights(union, Options()).flatten().tolist() == pytest.approx([6 / 7, 0, 8 / 7, 2])
    torch.testing.assert_close(batch_weights(union, Options(normalize="l2")), torch.tensor([[0.6, 0], [0.8, 1]]))
    torch.testing.assert_close(batch_weights(union, Options(normalize="max")), torch.tensor([[0.75, 0], [1, 1]]))
    huge = batch_weights(union * 1e8, Options(normalize="l2", power=2))
    torch.testing.assert_close(huge[:, 0], torch.tensor([9.0, 16]) / (81 + 256) ** 0.5)


def test_background_counts_when_asked() -> None:
    x, y = torch.zeros(2, 3, 4, 4), torch.randint(0, 3, (2, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    found = [losses.build("godc", {"with_background": b}, space=CLASSES, batch_dice=False)(x, y) for b in (True, False)]
    assert found[0].item() != pytest.approx(found[1].item(), abs=1e-4)
