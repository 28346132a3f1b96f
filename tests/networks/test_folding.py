"""Folding loses nothing."""

import pytest
import torch

from autoseg.networks._blocks.folding import fold, unfold


@pytest.mark.parametrize(
    ("shape", "steps"), [((2, 3, 4, 6, 8), (2, 2, 2)), ((1, 2, 5, 4, 6), (1, 2, 3)), ((2, 1, 4, 6), (2, 2))]
)
def test_unfold_undoes_fold(shape, steps):
    x = torch.arange(float(torch.tensor(shape).prod())).reshape(shape)
    folded = fold(x, steps)
    assert folded.shape[2:] == tuple(edge // step for edge, step in zip(shape[2:], steps, strict=True))
    assert torch.equal(unfold(folded, steps), x)


def test_a_folded_position_holds_its_own_neighbourhood():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert fold(x, (2, 2))[0, :, 0, 1].tolist() == [2, 3, 6, 7]
