"""Build the live parts of a run from documents and preprocessed cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from autoseg.augment._geometry import PatchGeometry
from autoseg.augment._pipeline import Pipeline
from autoseg.core.labels import LabelSpace
from autoseg.core.seeds import derive_seed
from autoseg.devices.compiler import accelerated
from autoseg.networks import context_voxels, networks
from autoseg.sampling import samplers
from autoseg.specs.laterality import Laterality
from autoseg.specs.method import TrainChoices
from autoseg.specs.plan import Configuration
from autoseg.training.checkpoint import TrainingState
from autoseg.training.distributed import ALONE, Share
from autoseg.training.loader import BatchLoader, CaseReader
from autoseg.training.objective import Objective
from autoseg.training.optim import WeightAverage, build_optimizer
from autoseg.training.step import Parts


@dataclass(frozen=True)
class Recipe:
    """What the parts are built from.

    Attributes:
        configuration: Network and patch.
        train: Loss, optimiser, sampler, augmentation.
        space: Classes or regions.
        channels: Image channels.
        mirror_axes: Axes that may be mirrored, in (z, y, x).
        seed: Seed of this fold.
        device: Where to train.
        precision: Autocast type.
        share: Of each batch that this process takes.
        laterality: Labels that change places where left-right is mirrored.
    """

    configuration: Configuration
    train: TrainChoices
    space: LabelSpace
    channels: int
    mirror_axes: tuple[int, ...]
    seed: int
    device: torch.device
    precision: torch.dtype
    share: Share = ALONE
    laterality: Laterality | None = None


def assemble(recipe: Recipe, *, train_cases: Sequence[CaseReader], val_cases: Sequence[CaseReader]) -> Parts:
    """Build network, optimiser, loss, loaders; equal recipes give equal initial weights."""
    configuration, train = recipe.configuration, recipe.train
    recipe.share.check(batch_size=configuration.batch_size, accumulate=train.accumulate)
    network = recipe.share.prepare(_network(recipe))
    optimizer = build_optimizer(network, train.optimizer, precision=recipe.precision)
    average = WeightAverage(network) if train.optimizer.weight_average > 0 else None
    scaler = torch.amp.GradScaler(recipe.device.type) if recipe.precision == torch.float16 else None
    previous = configuration.previous_values(recipe.space)
    geometry = patch_geometry(configuration, recipe.mirror_axes, previous_values=previous, laterality=recipe.laterality)
    augment = Pipeline(train.augment, geometry)
    centre_crop = Pipeline((), geometry)
    levels = len(configuration.topology.strides) - 1 if train.deep_supervision else 1
    return Parts(
        state=TrainingState(network, optimizer, average, scaler),
        forward=accelerated(network, wanted=train.compile, device=recipe.device),
        objective=Objective(train.loss, space=recipe.space, batch_dice=configuration.batch_dice, levels=levels),
        augment=augment,
        centre_crop=centre_crop,
        train=_loader(recipe, train_cases, augment, "train"),
        validation=_loader(recipe, val_cases, centre_crop, "validation"),
        device=recipe.device,
        precision=recipe.precision,
        accumulate=train.accumulate,
        share=recipe.share,
        is_partly_annotated=recipe.share.world > 1
        and any(case.annotated is not None for case in (*train_cases, *val_cases)),
    )


def patch_geometry(
    configuration: Configuration,
    mirror_axes: tuple[int, ...],
    *,
    previous_values: tuple[int, ...] = (),
    laterality: Laterality | None = None,
) -> PatchGeometry:
    """What augmentation needs to know; a 2D patch has the axes (y, x), numbered from 0.

    The patch is what the network sees: that of the configuration, which it labels, with its context.
    """
    shift = 3 - configuration.dimensions
    preprocessing, labelled = configuration.preprocessing, configuration.patch_size_voxels
    network = configuration.network
    context = context_voxels(network.name, network.options) or (0,) * len(labelled)
    if laterality is not None and laterality.axis < shift:
        laterality = None  # slices lie across it and are never mirrored along it
    return PatchGeometry(
        patch_size_voxels=tuple(edge + 2 * voxels for edge, voxels in zip(labelled, context, strict=True)),
        context_voxels=context,
        channels=len(preprocessing.mask_normalization),
        mirror_axes=tuple(axis - shift for axis in mirror_axes if axis >= shift),
        masked_channels=tuple(index for index, masked in enumerate(preprocessing.mask_normalization) if masked),
        previous_values=previous_values,
        swapped_axis=None if laterality is None else laterality.axis - shift,
        swapped_labels=() if laterality is None else laterality.pairs,
    )


def _network(recipe: Recipe) -> torch.nn.Module:
    configuration = recipe.configuration
    with torch.random.fork_rng(devices=[]):  # the CPU alone draws; else every GPU of the machine would be opened
        torch.manual_seed(derive_seed(recipe.seed, "weights"))
        network: torch.nn.Module = networks.build(
            configuration.network.name,
            configuration.network.options,
            topology=configuration.topology,
            channels=configuration.input_channels(recipe.channels, recipe.space),
            heads=recipe.space.heads,
        )
    network.deep_supervision = recipe.train.deep_supervision  # type: ignore[assignment]
    return network.to(recipe.device).train()


def _loader(recipe: Recipe, cases: Sequence[CaseReader], pipeline: Pipeline, purpose: str) -> BatchLoader:
    source = tuple(pipeline.source_size_voxels)
    flat = (1,) * (3 - recipe.configuration.dimensions)
    sampler = samplers.build(
        recipe.train.sampler.name,
        recipe.train.sampler.options,
        patch_size_voxels=(*flat, *recipe.configuration.patch_size_voxels),
        source_size_voxels=(*flat, *source),
    )
    return BatchLoader(
        cases,
        sampler,
        batch_size=recipe.configuration.batch_size,
        source_size_voxels=source,
        seed=derive_seed(recipe.seed, purpose),
        needed_box=pipeline.needed_box,
        label_maps=2 if pipeline.geometry.previous_values else 1,
        positions=recipe.share.rows(recipe.configuration.batch_size),
        pinned=recipe.device.type == "cuda",
    )
