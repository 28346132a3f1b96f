"""The pipeline: seeds decide, inputs stay, the source is as large as nnU-Net v2's and read only where needed."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from autoseg.augment._affine import enlarged_size, rotation, sample_image, sample_labels, source_coordinates
from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._pipeline import Pipeline
from autoseg.augment.spatial import Options, build
from autoseg.core.errors import GeometryError, RegistryError, SpecError
from autoseg.specs.document import Component

NAMES = ("spatial", "noise", "blur", "brightness", "contrast", "low_resolution", "gamma", "mirror")
CHAIN = tuple(Component(name=name) for name in NAMES)
GEOMETRY = PatchGeometry((14, 18, 16), channels=2, masked_channels=(1,))


def batch(pipeline: Pipeline, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    source = pipeline.source_size_voxels
    generator = torch.Generator().manual_seed(3)
    image = torch.randn((size, pipeline.geometry.channels, *source), generator=generator)
    coarse = torch.randint(-1, 4, (size, 1, *[4] * len(source)), generator=generator).float()
    return image, F.interpolate(coarse, source, mode="nearest").to(torch.int16)


def test_a_sample_depends_on_its_seed_only() -> None:
    pipeline = Pipeline(CHAIN, GEOMETRY)
    image, labels = batch(pipeline, 1)
    seeds = list(range(12))
    together = pipeline(image.expand(12, *image.shape[1:]), labels.expand(12, *labels.shape[1:]), seeds=seeds)
    for seed in (11, 4, 0):
        alone = pipeline(image, labels, seeds=[seed])
        assert torch.equal(alone[0][0], together[0][seed])
        assert torch.equal(alone[1][0], together[1][seed])
    different = {round(float(sample.std()), 6) for sample in together[0]}
    assert len(different) > 6


def test_inputs_stay_and_global_random_state_is_not_touched() -> None:
    for chain in (CHAIN, CHAIN[1:], ()):
        pipeline = Pipeline(chain, GEOMETRY)
        image, labels = batch(pipeline, 6)
        kept = image.clone(), labels.clone()
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        result = pipeline(image, labels, seeds=range(6))
        assert torch.equal(torch.rand(3), expected)
        assert torch.equal(image, kept[0])
        assert torch.equal(labels, kept[1])
        assert not result[0].requires_grad


def test_without_components_it_only_resets_the_masked_channels() -> None:
    pipeline = Pipeline((), GEOMETRY)
    image, labels = batch(pipeline, 2)
    result, moved = pipeline(image, labels, seeds=(0, 1))
    assert torch.equal(moved, labels)
    assert torch.equal(result[:, 0], image[:, 0])
    outside = labels[:, 0] < 0
    assert outside.any()
    assert (result[:, 1][outside] == 0).all()
    assert torch.equal(result[:, 1][~outside], image[:, 1][~outside])


def test_half_precision_sources_give_float32() -> None:
    pipeline = Pipeline(CHAIN, GEOMETRY)
    image, labels = batch(pipeline, 6)
    result, _ = pipeline(image.half(), labels, seeds=range(6))
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, pipeline(image.half().float(), labels, seeds=range(6))[0])


@pytest.mark.parametrize("patch", [(14, 18, 16), (26, 22), (4, 22, 26)])
def test_only_the_needed_box_is_used(patch: tuple[int, ...]) -> None:
    chain = (Component(name="spatial", options={"p_rotation": 0.6, "p_scale": 0.6}),)
    pipeline = Pipeline(chain, PatchGeometry(patch))
    image, labels = batch(pipeline, 1)
    smaller = 0
    for seed in range(20):
        box = (..., *(slice(*edges) for edges in pipeline.needed_box(seed)))
        part, part_labels = torch.full_like(image, torch.nan), torch.full_like(labels, 99)
        part[box], part_labels[box] = image[box], labels[box]
        smaller += int(part.isnan().any())
        full, reduced = pipeline(image, labels, seeds=[seed]), pipeline(part, part_labels, seeds=[seed])
        assert torch.equal(full[0], reduced[0])
        assert torch.equal(full[1], reduced[1])
    assert smaller > 3
    assert Pipeline((), PatchGeometry(patch)).needed_box(0) == tuple((0, edge) for edge in patch)


@pytest.mark.parametrize(
    ("patch", "source"),
    # Computed by nnunetv2 2.8.1, `get_patch_size` with the default trainer's angles.
    [
        ((128, 128, 128), (205, 205, 205)),
        ((40, 56, 40), (73, 80, 64)),
        ((64, 192, 160), (178, 289, 200)),
        ((20, 320, 256), (20, 376, 376)),
        ((512, 512), (602, 602)),
        ((320, 200), (424, 235)),
    ],
)
def test_source_size_is_that_of_nnunet(patch: tuple[int, ...], source: tuple[int, ...]) -> None:
    assert build(Options(), geometry=PatchGeometry(patch)).source_size_voxels == source
    assert build(Options(p_rotation=0, p_scale=0), geometry=PatchGeometry(patch)).source_size_voxels == patch


def test_enlarged_size_without_rotation_is_the_scale_alone() -> None:
    assert enlarged_size((34, 17), angle=0.0, scale=0.85) == (40, 20)


@pytest.mark.parametrize("rank", [2, 3])
def test_labels_are_the_argmax_of_the_interpolated_indicators(rank: int) -> None:
    generator = torch.Generator().manual_seed(rank)
    source, size = (13, 11, 15)[:rank], (12, 14, 10)[:rank]
    labels = torch.randint(0, 5, (2, *source), generator=generator).to(torch.int16)
    turn = rotation([0.4, -0.3, 0.2] if rank == 3 else [0.7]) * 1.3
    matrix = tuple(map(tuple, turn.tolist()))
    centre = [(edge - 1) / 2 for edge in source]
    places = source_coordinates(matrix, size, centre, labels.device)
    indicators = torch.stack([F.pad(labels, (1, 1) * rank, value=-1) == value for value in range(-1, 5)])
    padded_places = [place + 1 for place in places]
    scores = torch.stack([sample_image(each.float(), padded_places, size) for each in indicators])
    scores[0] += 1 - scores.sum(0)  # beyond the padding everything is outside
    top = scores.topk(2, dim=0).values
    clear = top[0] - top[1] > 1e-4
    assert clear.float().mean() > 0.99
    found = sample_labels(labels, places, size, outside=-1)
    assert torch.equal(found[clear].long(), (scores.argmax(0) - 1)[clear])
    assert (found == -1).any()


def test_scaling_alone_equals_the_grid() -> None:
    image = torch.randn((2, 9, 12, 10), generator=torch.Generator().manual_seed(0))
    size, centre = (8, 7, 11), (4.2, 5.1, 4.5)
    matrix = ((1.3, 0, 0), (0, 0.8, 0), (0, 0, 1.1))
    per_axis = source_coordinates(matrix, size, centre, image.device)
    assert [place.numel() for place in per_axis] == [8, 7, 11]
    grid = [place.expand(size).contiguous() for place in per_axis]
    torch.testing.assert_close(sample_image(image, per_axis, size), sample_image(image, grid, size), atol=1e-5, rtol=0)


def test_rotation_by_a_quarter_turn_is_exact() -> None:
    image = torch.randn((1, 7, 7), generator=torch.Generator().manual_seed(0))
    matrix = tuple(map(tuple, rotation([torch.pi / 2]).tolist()))
    places = source_coordinates(matrix, (7, 7), (3, 3), image.device)
    turned = sample_image(image, places, (7, 7))
    torch.testing.assert_close(turned, torch.rot90(image, -1, (1, 2)), atol=1e-5, rtol=0)


def test_masks_beside_the_labels_move_with_them() -> None:
    pipeline = Pipeline(CHAIN, GEOMETRY)
    image, labels = batch(pipeline, 4)
    both = torch.cat([labels, labels], dim=1)
    _, moved = pipeline(image, both, seeds=range(4))
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert torch.equal(moved[:, :1], pipeline(image, labels, seeds=range(4))[1])


def test_dummy_2d_keeps_slices_apart() -> None:
    geometry = PatchGeometry((4, 22, 26))
    assert geometry.dummy_2d
    assert not PatchGeometry((9, 22, 26)).dummy_2d
    chain = (Component(name="spatial", options={"p_rotation": 1, "p_scale": 1}),)
    pipeline = Pipeline(chain, geometry)
    image = torch.zeros((3, 1, *pipeline.source_size_voxels))
    labels = torch.zeros(image.shape, dtype=torch.int16)
    image[:, :, 2], labels[:, :, 2] = 1, 1
    result, moved = pipeline(image, labels, seeds=range(3))
    for plane, value in itertools.product(range(4), (0, 1)):
        expected = int(plane == 2)
        assert (moved[:, :, plane] == value).any() == (value == expected)
    assert (result[:, :, [0, 1, 3]] == 0).all()


def test_wrong_batches_are_refused() -> None:
    pipeline = Pipeline(CHAIN, GEOMETRY)
    image, labels = batch(pipeline, 2)
    with pytest.raises(GeometryError, match=r"image batch is torch\.float32"):
        pipeline(image[:, :1], labels, seeds=(0, 1))
    with pytest.raises(GeometryError, match=r"image batch is torch\.int32"):
        pipeline(image.int(), labels, seeds=(0, 1))
    with pytest.raises(GeometryError, match="label batch is"):
        pipeline(image, labels[:1], seeds=(0, 1))
    with pytest.raises(GeometryError, match=r"labels are torch\.uint8: pass a signed integer type"):
        pipeline(image, labels.to(torch.uint8), seeds=(0, 1))


def test_wrong_chains_and_geometries_are_refused() -> None:
    with pytest.raises(SpecError, match="augmentation 'spatial' needs more than the patch: put it first"):
        Pipeline((CHAIN[1], CHAIN[0]), GEOMETRY)
    with pytest.raises(RegistryError, match="did you mean 'noise'"):
        Pipeline((Component(name="noize"),), GEOMETRY)
    with pytest.raises(SpecError, match=r"patch size \[4\]"):
        PatchGeometry((4,))
    with pytest.raises(SpecError, match=r"mirror axes \[2\] of a 2D patch"):
        PatchGeometry((4, 4), mirror_axes=(2,))
    with pytest.raises(SpecError, match=r"masked channels \[1\] of 1"):
        PatchGeometry((4, 4), masked_channels=(1,))


@pytest.mark.parametrize("chain", [(), (Component(name="noise"),)])
def test_labels_are_those_of_the_core_and_the_image_keeps_its_context(chain):
    geometry = PatchGeometry((8, 10, 12), context_voxels=(1, 2, 3))
    image, labels = torch.randn(1, 1, 8, 10, 12), torch.arange(960).reshape(1, 1, 8, 10, 12)
    seen, core = Pipeline(chain, geometry)(image, labels, seeds=(0,))
    assert seen.shape == image.shape
    assert torch.equal(core, labels[:, :, 1:7, 2:8, 3:9])


@pytest.mark.parametrize("context", [(1, 1), (4, 0, 0), (0, 0, 9)])
def test_a_context_must_leave_a_core(context):
    with pytest.raises(SpecError, match="enlarge the patch by the context"):
        PatchGeometry((8, 8, 8), context_voxels=context)
