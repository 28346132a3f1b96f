"""Pooling with indices equals torch's, values and gradients."""

import pytest
import torch
from torch.nn import functional as F

from autoseg.networks._blocks.pooling import max_pool, max_unpool


def image(size, *, last):
    layout = (torch.channels_last if len(size) == 2 else torch.channels_last_3d) if last else torch.contiguous_format
    torch.manual_seed(0)
    return torch.randn(2, 3, *size, dtype=torch.float64).to(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize(("size", "stride"), [((4, 6), (2, 2)), ((4, 6, 4), (2, 2, 2)), ((3, 4, 6), (1, 2, 3))])
def test_pool_and_unpool_equal_torch(size, stride, last):
    x = image(size, last=last)
    pool, unpool = (F.max_pool2d, F.max_unpool2d) if len(size) == 2 else (F.max_pool3d, F.max_unpool3d)
    expected, indices = pool(x, stride, return_indices=True)
    found, which = max_pool(x, stride)
    assert torch.equal(found, expected)
    assert which.dtype == torch.uint8
    grown, theirs = max_unpool(found**2, which, stride), unpool(expected**2, indices, stride)
    assert torch.equal(grown, theirs)
    assert grown.is_contiguous() is not last
    weights = torch.randn(grown.shape, dtype=torch.float64)
    (ours,), (reference,) = (torch.autograd.grad((y * weights).sum(), x) for y in (grown, theirs))
    torch.testing.assert_close(ours, reference)


def test_half_precision_and_equal_voxels():
    pooled, which = max_pool(torch.ones(1, 1, 2, 4, dtype=torch.bfloat16), (2, 2))
    assert which.tolist() == [[[[0, 0]]]]
    assert max_unpool(pooled, which, (2, 2)).tolist() == [[[[1, 0, 1, 0], [0, 0, 0, 0]]]]
