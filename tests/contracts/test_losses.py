"""Every loss, found by the registry, keeps the same promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace
from autoseg.losses import check_labels, losses
from autoseg.losses._targets import make_targets

IGNORE = 3
SPACES = {
    "classes": LabelSpace.parse({"background": 0, "a": 1, "b": 2, "ignore": IGNORE}),
    "regions": LabelSpace.parse({"background": 0, "whole": [1, 2], "core": 2, "ignore": IGNORE}, [1, 2]),
}
SHAPES = {"2d": (12, 10), "3d": (6, 8, 7)}
Loss = Callable[..., Tensor]


def supported() -> list[tuple[str, str]]:
    """Loss and kind of labels; one that refuses a kind says so by a `SpecError`."""
    found = []
    for name in losses.names():
        for kind, space in SPACES.items():
            try:
                losses.build(name, space=space, batch_dice=False)
            except SpecError:
                continue
            found.append((name, kind))
    return found


PAIRS = supported()


def test_every_loss_takes_some_labels() -> None:
    assert {name for name, _ in PAIRS} == set(losses.names())


@pytest.mark.parametrize("name", losses.names())
@pytest.mark.parametrize("kind", SPACES)
def test_labels_are_refused_before_the_loss_is_built(name: str, kind: str) -> None:
    if (name, kind) in PAIRS:
        check_labels(name, None, SPACES[kind])
    else:
        with pytest.raises(SpecError, match=r"these labels are .*: choose '"):
            check_labels(name, None, SPACES[kind])


def test_labels_are_checked_without_torch() -> None:
    code = (
        "import sys; from autoseg.core.labels import LabelSpace; import autoseg.losses as l;"
        "space = LabelSpace.parse({'background': 0, 'a': 1});"
        "[l.caution(name, None, samples=1) for name in l.losses.names()];"
        "[l.check_labels(name, None, space) for name in l.losses.names() if name != 'dice_bce'];"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_options_are_validated_without_torch() -> None:
    code = "import sys; from autoseg.losses import losses; losses.options('dice_ce'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def some_labels(shape: tuple[int, ...], *, batch: int = 3) -> Tensor:
    return torch.randint(0, 3, (batch, 1, *shape), generator=torch.Generator().manual_seed(0))


def confident(target: Tensor, heads: int) -> Tensor:
    """Logits that are right everywhere."""
    if target.dtype == torch.bool:
        return 40.0 * target.float() - 20
    return 20 * torch.nn.functional.one_hot(target[:, 0], heads).movedim(-1, 1).float()


@pytest.fixture(params=[(*pair, shape) for pair in PAIRS for shape in SHAPES], ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[Loss, LabelSpace, tuple[int, ...]]:
    name, kind, shape = request.param
    return losses.build(name, space=SPACES[kind], batch_dice=False), SPACES[kind], SHAPES[shape]


def random_logits(space: LabelSpace, shape: tuple[int, ...], *, batch: int = 3) -> Tensor:
    return torch.randn(batch, space.heads, *shape, generator=torch.Generator().manual_seed(1))


class TestEveryLoss:
    def test_scalar_and_gradient(self, case: Any) -> None:
        loss, space, shape = case
        logits = random_logits(space, shape).requires_grad_()
        value = loss(logits, *make_targets(some_labels(shape), space))
        value.backward()
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()
        assert logits.grad.any()

    def test_right_is_less_than_random_is_less_than_wrong(self, case: Any) -> None:
        loss, space, shape = case
        target, mask = make_targets(some_labels(shape), space)
        right = confident(target, space.heads)
        found = [loss(logits, target, mask).item() for logits in (right, random_logits(space, shape), -right)]
        assert found == sorted(found)
        assert found[0] < found[1] < found[2]

    def test_absent_classes(self, case: Any) -> None:
        loss, space, shape = case
        target, mask = make_targets(torch.zeros_like(some_labels(shape)), space)
        logits = random_logits(space, shape).requires_grad_()
        value = loss(logits, target, mask)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()
        assert loss(confident(target, space.heads), target, mask) < value

    def test_ignored_voxels_do_not_count(self, case: Any) -> None:
        loss, space, shape = case
        labels = some_labels(shape)
        labels[..., :4] = IGNORE
        logits = random_logits(space, shape).requires_grad_()
        value = loss(logits, *make_targets(labels, space))
        value.backward()
        assert not logits.grad[..., :4].any()
        assert logits.grad[..., 4:].any()
        changed = logits.detach().clone()
        changed[..., :4] += 7
        torch.testing.assert_close(loss(changed, *make_targets(labels, space)), value.detach())

    def test_everything_ignored_is_finite(self, case: Any) -> None:
        loss, space, shape = case
        logits = random_logits(space, shape).requires_grad_()
        value = loss(logits, *make_targets(torch.full_like(some_labels(shape), IGNORE), space))
        value.backward()
        assert torch.isfinite(value)
        assert not logits.grad.any()

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, case: Any, dtype: torch.dtype) -> None:
        loss, space, shape = case
        target, mask = make_targets(some_labels(shape), space)
        logits = random_logits(space, shape).to(dtype)
        half = loss(logits, target, mask)
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, loss(logits.float(), target, mask))

    def test_order_of_the_batch_does_not_matter(self, case: Any) -> None:
        loss, space, shape = case
        target, mask = make_targets(some_labels(shape), space)
        logits = random_logits(space, shape)
        order = torch.tensor([2, 0, 1])
        assert mask is not None
        torch.testing.assert_close(loss(logits[order], target[order], mask[order]), loss(logits, target, mask))


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_batch_dice_is_taken(name: str, kind: str) -> None:
    space = SPACES[kind]
    target, mask = make_targets(some_labels((6, 6)), space)
    value = losses.build(name, space=space, batch_dice=True)(random_logits(space, (6, 6)), target, mask)
    assert torch.isfinite(value)
