"""Cross-entropies and the focal loss against torch's and against the formula."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, one_hot

from autoseg.core.errors import RegistryError, SpecError
from autoseg.core.labels import LabelSpace
from autoseg.losses import losses
from autoseg.losses._deep_supervision import DeepSupervision, deep_supervision_weights

CLASSES = LabelSpace.parse({"background": 0, "a": 1, "b": 2})
REGIONS = LabelSpace(("whole", "core"), ((1, 2), (2,)), None, (1, 2))


def loss(name, options=None, space=CLASSES):
    return losses.build(name, options, space=space, batch_dice=False)


@pytest.fixture
def classes():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 4, 5, generator=generator), torch.randint(0, 3, (2, 1, 4, 5), generator=generator)


@pytest.fixture
def regions():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 2, 4, 5, generator=generator), torch.rand(2, 2, 4, 5, generator=generator) < 0.3


def test_cross_entropy(classes):
    x, y = classes
    torch.testing.assert_close(loss("cross_entropy")(x, y), cross_entropy(x, y[:, 0]))


def test_cross_entropy_is_not_for_regions():
    with pytest.raises(SpecError, match=r"'cross_entropy' is for exclusive classes.*choose 'bce'"):
        loss("cross_entropy", space=REGIONS)


def test_bce_of_regions(regions):
    x, y = regions
    torch.testing.assert_close(loss("bce", space=REGIONS)(x, y), binary_cross_entropy_with_logits(x, y.float()))


@pytest.mark.parametrize("heads", [2, 3, 4, 6])
def test_bce_of_classes_takes_each_against_the_rest(heads):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, heads, 5, 4, generator=generator), torch.randint(heads, (2, 1, 5, 4), generator=generator)
    truth = one_hot(y[:, 0], heads).movedim(-1, 1).float()
    expected = binary_cross_entropy(x.softmax(1)[:, 1:], truth[:, 1:])
    space = LabelSpace.parse({"background": 0, **{f"class {head}": head for head in range(1, heads)}})
    torch.testing.assert_close(loss("bce", space=space)(x, y), expected)


def test_bce_of_classes_still_learns_where_it_is_surely_wrong():
    x = torch.tensor([0.0, 200.0, 0.0]).view(1, 3, 1, 1).requires_grad_()
    value = loss("bce")(x, torch.zeros(1, 1, 1, 1, dtype=torch.int64))
    value.backward()
    assert value.item() == pytest.approx((200 - torch.tensor(2.0).log().item()) / 2, rel=1e-5)
    assert x.grad[0, 1].item() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["bce", "focal", "cross_entropy"])
def test_a_mask_leaves_the_mean_of_the_rest(name, classes):
    x, y = classes
    mask = torch.ones_like(y, dtype=torch.bool)
    mask[..., 2:] = False
    torch.testing.assert_close(loss(name)(x, y, mask), loss(name)(x[..., :2], y[..., :2]))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_classes(classes, gamma):
    x, y = classes
    chance = x.softmax(1).gather(1, y)
    expected = -((1 - chance) ** gamma * chance.log()).mean()
    torch.testing.assert_close(loss("focal", {"gamma": gamma})(x, y), expected)


def test_focal_of_regions_with_a_weight_of_the_foreground(regions):
    x, y = regions
    chance = torch.where(y, x.sigmoid(), 1 - x.sigmoid())
    expected = -(torch.where(y, 0.25, 0.75) * (1 - chance) ** 2 * chance.log()).mean()
    torch.testing.assert_close(loss("focal", {"alpha": 0.25}, REGIONS)(x, y), expected)


def test_focal_is_finite_where_all_is_right():
    y = torch.tensor([[[[0, 1, 2]]]])
    x = (500 * one_hot(y[:, 0], 3).movedim(-1, 1).float()).requires_grad_()
    loss("focal", {"gamma": 0.5})(x, y).backward()
    assert torch.isfinite(x.grad).all()


def test_combo_is_the_weighted_sum(classes):
    terms = [{"name": "dice", "weight": 0.5, "options": {"smooth": 1}}, {"name": "focal"}]
    expected = 0.5 * loss("dice", {"smooth": 1})(*classes) + loss("focal")(*classes)
    torch.testing.assert_close(loss("combo", {"terms": terms})(*classes), expected)
    torch.testing.assert_close(loss("combo")(*classes), loss("dice")(*classes) + loss("cross_entropy")(*classes))


def test_advanced_combo_is_the_papers(classes):
    tversky = {"alpha": 0.3, "beta": 0.7, "gamma": 0.75, "exponent": "gamma", "smooth": 1}
    expected = 0.3 * loss("dice", {"smooth": 1})(*classes) + 0.3 * loss("bce")(*classes)
    expected = expected + 0.4 * loss("focal_tversky", tversky)(*classes)
    torch.testing.assert_close(loss("advanced_combo")(*classes), expected)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ([{"name": "dise"}], "unknown loss 'dise': did you mean 'dice'?"),
        ([{"name": "dice", "options": {"smoth": 1}}], "loss 'dice', option 'smoth' = 1: did you mean 'smooth'?"),
        ([], "loss 'combo', option 'terms'"),
        ([{"name": "dice", "weight": 0}], "option 'terms.0.weight' = 0: Input should be greater than 0"),
    ],
)
def test_a_wrong_combo_is_refused_before_any_work(terms, said):
    with pytest.raises(RegistryError) as error:
        losses.options("combo", {"terms": terms})
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["dice", "godc", "focal", "focal_tversky", "combo", "advanced_combo", "bce"])
def test_deep_supervision_takes_them(name):
    generator = torch.Generator().manual_seed(0)
    outputs = [torch.randn(2, 3, edge, edge, generator=generator, requires_grad=True) for edge in (8, 4, 2)]
    labels = torch.randint(0, 3, (2, 1, 8, 8), generator=generator)
    value = DeepSupervision(loss(name), deep_supervision_weights(3))(outputs, labels, CLASSES)
    value.backward()
    assert [bool(x.grad is not None and x.grad.any()) for x in outputs] == [True, True, False]
