"""Sliding window: equals the whole volume where it must, and explicit averages where those are defined."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.inference import forward
from autoseg.inference.forward import Passes, cast_networks
from autoseg.inference.sliding import gaussian_weights, mirror_subsets, predict_logits, window_starts


class Pointwise(nn.Module):
    """A network without receptive field: windows cannot change its answer."""

    def __init__(self, dimensions: int = 3, heads: int = 3) -> None:
        super().__init__()
        kind = nn.Conv3d if dimensions == 3 else nn.Conv2d
        self.layer = kind(2, heads, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(image))


def directional(dimensions: int = 3, seed: int = 0) -> nn.Module:
    """A network whose answer changes with mirroring."""
    torch.manual_seed(seed)
    kind = nn.Conv3d if dimensions == 3 else nn.Conv2d
    return kind(2, 3, 3, padding=1).eval()


@pytest.mark.parametrize(
    ("size", "patch", "step", "expected"),
    [
        (110, 64, 0.5, (0, 23, 46)),
        (64, 64, 0.5, (0,)),
        (40, 64, 0.5, (0,)),
        (65, 64, 0.5, (0, 1)),
        (10, 4, 1.0, (0, 3, 6)),
    ],
)
def test_windows_are_spread_evenly(size: int, patch: int, step: float, expected: tuple[int, ...]) -> None:
    assert window_starts(size, patch, step) == expected


@pytest.mark.parametrize("size", range(8, 60, 7))
@pytest.mark.parametrize("step", [0.3, 0.5, 1.0])
def test_windows_cover_every_voxel(size: int, step: float) -> None:
    starts = window_starts(size, 8, step)
    covered = {voxel for start in starts for voxel in range(start, start + 8)}
    assert covered == set(range(size))


def test_gaussian_weights_peak_at_ten_and_never_vanish() -> None:
    weights = gaussian_weights((16, 32, 24))
    assert weights[8, 16, 12] == 10 == weights.max()
    assert weights.min() > 0
    assert weights[10, 16, 12].item() == pytest.approx(10 * np.exp(-0.5), rel=1e-3)


@pytest.mark.parametrize("shape", [(20, 23, 17), (5, 23, 9), (8, 8, 8), (3, 4, 5)])
def test_a_pointwise_network_sees_no_windows(shape: tuple[int, int, int]) -> None:
    network, image = Pointwise().eval(), torch.randn(2, *shape)
    logits = predict_logits([network], image, patch_size_voxels=(8, 8, 8), mirror_axes=(0, 1, 2))
    with torch.no_grad():
        torch.testing.assert_close(logits, network(image[None])[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [(6, 23, 17), (20, 9, 30), (3, 4, 5)])
def test_planar_networks_see_slices(shape: tuple[int, int, int]) -> None:
    network, image = Pointwise(dimensions=2).eval(), torch.randn(2, *shape)
    logits = predict_logits([network], image, patch_size_voxels=(8, 8), mirror_axes=(0, 1, 2))
    with torch.no_grad():
        expected = network(image.transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("batch", [None, 1, 3, 16])
def test_windows_mirrors_and_folds_equal_explicit_averages(batch: int | None) -> None:
    networks = [directional(seed=seed) for seed in (1, 2)]
    image = torch.randn(2, 13, 8, 11)
    logits = predict_logits(networks, image, patch_size_voxels=(8, 8, 8), mirror_axes=(0, 2), batch_windows=batch)
    sums, totals = torch.zeros(3, 13, 8, 11), torch.zeros(13, 8, 11)
    weights = gaussian_weights((8, 8, 8))
    for z, x in itertools.product(window_starts(13, 8, 0.5), window_starts(11, 8, 0.5)):
        window = image[None, :, z : z + 8, :, x : x + 8]
        passes = []
        for network, axes in itertools.product(networks, ((), (2,), (4,), (2, 4))):
            with torch.no_grad():
                passes.append(network(window.flip(axes)).flip(axes)[0])
        sums[:, z : z + 8, :, x : x + 8] += torch.stack(passes).mean(0) * weights
        totals[z : z + 8, :, x : x + 8] += weights
    torch.testing.assert_close(logits, sums / totals, atol=1e-5, rtol=1e-4)


def test_planar_mirrors_equal_explicit_averages() -> None:
    network, image = directional(2), torch.randn(2, 5, 8, 8)
    logits = predict_logits([network], image, patch_size_voxels=(8, 8), mirror_axes=(0, 1, 2), batch_windows=2)
    with torch.no_grad():
        slices = image.transpose(0, 1)
        passes = [network(slices.flip(axes)).flip(axes) for axes in ((), (2,), (3,), (2, 3))]
    torch.testing.assert_close(logits, torch.stack(passes).mean(0).transpose(0, 1), atol=1e-5, rtol=1e-4)


def test_small_images_are_padded_around_with_zeros() -> None:
    network, image = directional(), torch.randn(2, 5, 9, 8)
    logits = predict_logits([network], image, patch_size_voxels=(8, 9, 8))
    with torch.no_grad():
        padded = nn.functional.pad(image, (0, 0, 0, 0, 1, 2))
        expected = network(padded[None])[0, :, 1:6]
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


def test_bfloat16_weights_and_autocast_stay_close_to_float32() -> None:
    image = torch.randn(2, 8, 8, 8)
    expected = predict_logits([directional()], image, patch_size_voxels=(8, 8, 8))
    cast = cast_networks([directional()], device="cpu", precision="bfloat16")
    for networks in (cast, [directional()]):
        logits = predict_logits(networks, image, patch_size_voxels=(8, 8, 8), precision="bfloat16")
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, expected, atol=0.03, rtol=0.03)


def test_large_logits_are_kept_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoseg.inference.logits_type.FLOAT32_LIMIT_BYTES", 1000)
    network, image = Pointwise().eval(), torch.randn(2, 20, 9, 9)
    logits = predict_logits([network], image, patch_size_voxels=(8, 8, 8))
    assert logits.dtype == torch.float16
    with torch.no_grad():
        torch.testing.assert_close(logits.float(), network(image[None])[0], atol=1e-3, rtol=1e-2)


class Small(nn.Module):
    """Refuses more than a number of copies at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if len(image) > self.most:
            raise torch.OutOfMemoryError("too many")
        return image


def test_a_full_device_halves_the_batch() -> None:
    windows = torch.randn(5, 1, 4, 4, 4)
    passes = Passes((Small(2),), mirror_subsets((0, 1)), torch.device("cpu"), "float32")
    results = list(forward._in_batches(passes, windows, copies=16))
    torch.testing.assert_close(torch.stack(results), windows)


def test_room_is_made_where_one_copy_does_not_fit() -> None:
    made: list[int] = []

    def make_room() -> bool:
        made.append(1)
        small.most = 2
        return len(made) == 1

    small, windows = Small(0), torch.randn(5, 1, 4, 4, 4)
    passes = Passes((small,), mirror_subsets((0, 1)), torch.device("cpu"), "float32")
    results = list(forward._in_batches(passes, windows, copies=16, make_room=make_room))
    torch.testing.assert_close(torch.stack(results), windows)
    assert made == [1]


def test_memory_that_no_batch_fits_is_an_error() -> None:
    passes = Passes((Small(0),), ((),), torch.device("cpu"), "float32")
    with pytest.raises(torch.OutOfMemoryError, match="too many"):
        list(forward._in_batches(passes, torch.zeros(1, 1, 8, 8, 8), copies=4))


@pytest.mark.parametrize("copies", [1, 3, 8, 64])
def test_batches_equal_threads(copies: int) -> None:
    windows = torch.randn(5, 2, 6, 6, 6)
    networks = (directional(seed=1), directional(seed=2))
    passes = Passes(networks, mirror_subsets((0, 2)), torch.device("cpu"), "float32")
    batched = list(forward._in_batches(passes, windows, copies=copies))
    threaded = list(forward.mean_logits(passes, windows, planar=False))
    torch.testing.assert_close(torch.stack(batched), torch.stack(threaded))


@pytest.mark.parametrize("mirror_axes", [(), (0, 1, 2)])
def test_threads_do_not_change_the_logits(mirror_axes: tuple[int, ...]) -> None:
    network, image, threads = directional(), torch.randn(2, 13, 17, 8), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 8):
            torch.set_num_threads(count)
            results.append(predict_logits([network], image, patch_size_voxels=(8, 8, 8), mirror_axes=mirror_axes))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])


@pytest.mark.parametrize(("windows", "flips", "wanted"), [(1, 1, 4), (3, 1, 4), (4, 1, 1), (1, 8, 1)])
def test_fewer_passes_than_threads_share_them(windows: int, flips: int, wanted: int) -> None:
    class Watch(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.add(torch.get_num_threads())
            return x

    seen: set[int] = set()
    threads, passes = torch.get_num_threads(), Passes((Watch(),), ((),) * flips, torch.device("cpu"), "float32")
    try:
        torch.set_num_threads(4)
        given = [torch.randn(1, 4, 4, 4) for _ in range(windows)]
        stream = forward.mean_logits(passes, given, planar=False)
        found = [next(stream)]
        assert torch.get_num_threads() == wanted, "the caller's sums leave the other cores to the passes"
        found += stream
    finally:
        torch.set_num_threads(threads)
    assert seen == {wanted}
    torch.testing.assert_close(torch.stack(found), torch.stack(given))


def test_half_sums_round_single_windows_too_and_most_where_weights_are_least() -> None:
    image = torch.randn(1, 8, 8, 8)
    network, size = directional(), {"patch_size_voxels": (8, 8, 8)}
    exact = predict_logits([network], image[[0, 0]], **size)
    rounded = predict_logits([network], image[[0, 0]], half_sums=True, **size)
    error = ((rounded - exact) / exact).abs()
    assert torch.equal(rounded, rounded.half().float())
    assert error[:, 4, 4, 4].max() <= 2**-9, "two roundings to eleven bits"
    assert error.max() > 2**-6, "products with weights near the smallest number keep a few bits"


def test_without_networks_there_is_nothing_to_average() -> None:
    with pytest.raises(ValueError, match="no network"):
        predict_logits([], torch.zeros(1, 8, 8, 8), patch_size_voxels=(8, 8, 8))


def test_all_subsets_of_the_mirror_axes() -> None:
    assert mirror_subsets((0, 2)) == ((), (0,), (2,), (0, 2))
    assert len(mirror_subsets((0, 1, 2))) == 8
    assert mirror_subsets(()) == ((),)


def test_fewer_passes_at_a_time_and_a_store_change_no_bit() -> None:
    networks, image, threads = (
        [directional(seed=seed) for seed in (1, 2)],
        torch.randn(2, 20, 23, 17),
        torch.get_num_threads(),
    )
    kept, released = torch.empty(0), 0

    def store(shape: tuple[int, ...], kind: torch.dtype) -> tuple[torch.Tensor, Callable[[], None]]:
        nonlocal kept
        kept = torch.zeros(shape, dtype=kind)
        return kept, release

    def release() -> None:
        nonlocal released
        released += 1

    try:
        torch.set_num_threads(3)
        usual = predict_logits(networks, image, patch_size_voxels=(8, 8, 8), mirror_axes=(0, 2))
        lean = predict_logits(
            networks, image, patch_size_voxels=(8, 8, 8), mirror_axes=(0, 2), passes_at_once=1, store=store
        )
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(usual, lean)
    assert lean.data_ptr() == kept.data_ptr()
    assert released > 1
