"""Quarter turns, shifts, crops and chosen flips do what they say."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autoseg.augment import augmentations
from autoseg.augment._geometry import PatchGeometry
from autoseg.core.errors import RegistryError

PLANE = PatchGeometry((6, 6))
VOLUME = PatchGeometry((8, 8, 8))


def build(name: str, geometry: PatchGeometry, **options: Any) -> Any:
    return augmentations.build(name, {"p": 1.0, **options}, geometry=geometry)


def draws(transform: Any, count: int = 200) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    return [transform.draw(generator) for _ in range(count)]


def ramp(*size: int) -> torch.Tensor:
    return torch.arange(torch.Size(size).numel(), dtype=torch.float32).reshape(1, 1, *size)


class TestRot90:
    def test_square_planes_turn_by_every_quarter_and_others_by_half(self) -> None:
        assert {quarters for _, quarters in draws(build("rot90", PLANE))} == {1, 2, 3}
        assert set(draws(build("rot90", PatchGeometry((6, 8))))) == {((0, 1), 2)}

    def test_planes_are_those_of_the_options_and_in_plane_where_slices_stand_alone(self) -> None:
        planes = {"planes": ["zx", "zy"]}
        assert {plane for plane, _ in draws(build("rot90", VOLUME, **planes))} == {(0, 2), (0, 1)}
        assert {plane for plane, _ in draws(build("rot90", PatchGeometry((2, 8, 8)), **planes))} == {(1, 2)}
        assert {plane for plane, _ in draws(build("rot90", VOLUME))} == {(1, 2)}

    def test_it_is_a_turn_of_image_and_labels(self) -> None:
        transform, image = build("rot90", VOLUME), ramp(8, 8, 8)
        expected = image.transpose(3, 4).flip(3)
        for batch in (image, image.to(torch.int16)):
            turned = (transform.apply_labels if batch.dtype == torch.int16 else transform.apply_image)(
                batch.clone(), [((1, 2), 1)]
            )
            assert torch.equal(turned, expected.to(batch.dtype))


class TestTranslate:
    def test_shifts_reach_the_share_of_every_edge(self) -> None:
        found = torch.tensor(draws(build("translate", PatchGeometry((10, 20, 30)), share=0.2)))
        assert found.amax(0).tolist() == [2, 4, 6]
        assert found.amin(0).tolist() == [-2, -4, -6]
        assert not torch.tensor(draws(build("translate", PatchGeometry((4, 20, 20)))))[:, 0].any()

    @pytest.mark.parametrize("step", [(2, -1), (-3, 0), (0, 0)])
    def test_content_moves_and_the_gap_is_outside(self, step: tuple[int, int]) -> None:
        transform, image = build("translate", PLANE), ramp(6, 6) + 1
        moved = transform.apply_image(image.clone(), [step])[0, 0]
        labels = transform.apply_labels(image.to(torch.int16), [step])[0, 0]
        for y in range(6):
            for x in range(6):
                inside = 0 <= y - step[0] < 6 and 0 <= x - step[1] < 6
                assert moved[y, x] == (image[0, 0, y - step[0], x - step[1]] if inside else 0)
                assert labels[y, x] == (moved[y, x] if inside else -1)


class TestRandomCrop:
    def test_a_ramp_is_stretched_and_stays_a_ramp(self) -> None:
        transform = build("random_crop", PLANE, share=(0.6, 0.6))
        image = torch.arange(6.0).repeat(6, 1)[None, None]
        (drawn,) = draws(transform, 1)
        found = transform.apply_image(image.clone(), [drawn])[0, 0]
        torch.testing.assert_close(found.diff(dim=1), torch.full((6, 5), 0.6))
        assert 0 <= found.min() < found.max() <= 5

    def test_shares_and_places_cover_their_range(self) -> None:
        found = draws(build("random_crop", PLANE, share=(0.5, 0.9)))
        shares = [share for share, _ in found]
        assert (round(min(shares), 1), round(max(shares), 1)) == (0.5, 0.9)
        for share, centre in found:
            half = share * 5 / 2
            assert all(half - 1e-9 <= middle <= 5 - half + 1e-9 for middle in centre)
        assert max(centre[0] for _, centre in found) > 3.2
        assert min(centre[1] for _, centre in found) < 1.8

    def test_nothing_comes_in_from_outside(self) -> None:
        transform = build("random_crop", VOLUME, share=(0.5, 1.0))
        params = draws(transform, 50)
        image = transform.apply_image(torch.ones(50, 1, 8, 8, 8), params)
        torch.testing.assert_close(image, torch.ones_like(image))
        assert (transform.apply_labels(torch.full((50, 1, 8, 8, 8), 3, dtype=torch.int8), params) == 3).all()

    def test_slices_that_stand_alone_are_all_kept(self) -> None:
        geometry = PatchGeometry((3, 12, 12))
        transform = build("random_crop", geometry, share=(0.5, 0.5))
        image = torch.arange(3.0).view(1, 1, 3, 1, 1).expand(1, 1, 3, 12, 12).clone()
        torch.testing.assert_close(transform.apply_image(image.clone(), draws(transform, 1)), image)

    @pytest.mark.parametrize("share", [(0.0, 1.0), (0.9, 0.8), (0.5, 1.1)])
    def test_shares_are_checked(self, share: tuple[float, float]) -> None:
        with pytest.raises(RegistryError, match="give two rising numbers above 0 and at most 1"):
            augmentations.options("random_crop", {"share": share})


class TestMirror:
    @pytest.mark.parametrize(
        ("geometry", "axes", "flipped"),
        [
            (VOLUME, ["y"], {1}),
            (VOLUME, ["z", "x"], {0, 2}),
            (PLANE, ["y"], {0}),
            (PLANE, ["z"], set()),
            (PatchGeometry((8, 8, 8), mirror_axes=(0, 1)), ["y", "x"], {1}),
            (VOLUME, None, {0, 1, 2}),
        ],
    )
    def test_axes_are_those_asked_for_and_allowed(
        self, geometry: PatchGeometry, axes: list[str] | None, flipped: set[int]
    ) -> None:
        found = draws(build("mirror", geometry, axes=axes), 5)
        assert {axis for drawn in found for axis in drawn or ()} == flipped


def test_noise_of_a_given_deviation() -> None:
    transform = build("noise", VOLUME, sigma=(0.05, 0.05))
    image = transform.apply_image(torch.zeros(20, 1, 8, 8, 8), draws(transform, 20))
    assert image.std().item() == pytest.approx(0.05, rel=0.03)
