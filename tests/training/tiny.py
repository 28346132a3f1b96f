"""A run small enough for a test: 8 voxel patches, two stages, two updates per epoch."""

import torch
from cases import MemoryCase

from autoseg.core.labels import LabelSpace
from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.method import Method, OptimizerChoice, TrainChoices
from autoseg.specs.plan import Configuration, Preprocessing, Topology
from autoseg.specs.run import Run, Schedule
from autoseg.training.assembly import Recipe, assemble
from autoseg.training.distributed import ALONE

SHARE_EPOCHS = 5
"""Of two updates."""
STATISTICS = IntensityStatistics(
    mean=0.0, median=0.0, std=1.0, minimum=-1.0, maximum=1.0, percentile_00_5=-1.0, percentile_99_5=1.0
)


def configuration(dimensions=3, network="plain_unet"):
    return Configuration(
        name=f"{dimensions}d",
        preprocessing=Preprocessing(
            orientation="canonical",
            transpose=(0, 1, 2),
            spacing_mm=(1.0, 1.0, 1.0),
            normalization=(Component(name="zscore"),),
            mask_normalization=(False,),
            intensities=(STATISTICS,),
        ),
        patch_size_voxels=(8,) * dimensions,
        batch_size=2,
        median_shape_voxels=(12, 14, 16),
        topology=Topology(
            features=(8, 12),
            strides=((1,) * dimensions, (2,) * dimensions),
            kernels=((3,) * dimensions,) * 2,
            encoder_blocks=(1, 1),
            decoder_blocks=(1,),
        ),
        network=Component(name=network),
        batch_dice=False,
    )


def method(*, augment=(), deep_supervision=True, **optimizer):
    chosen = OptimizerChoice(**{"name": "adamw", "learning_rate": 1e-2, **optimizer})
    return Method(name="tiny", train=TrainChoices(optimizer=chosen, augment=augment, deep_supervision=deep_supervision))


def tiny_run(chosen=None, *, epochs=2, seed=0, dimensions=3):
    return Run(
        dataset="Dataset001_Tiny",
        fold="0",
        seed=seed,
        device="cpu",
        precision="float32",
        plan="0" * 12,
        configuration=configuration(dimensions),
        method=chosen or method(),
        schedule=Schedule(epochs=epochs, iterations_per_epoch=2, validation_iterations=1),
        channels=("MR",),
        labels={"background": 0, "ball": 1},
        regions_class_order=None,
        mirror_axes=(2,),
        train_cases=("a", "b"),
        val_cases=("c",),
        versions={},
    )


def tiny_parts(run, *, device="cpu", precision=torch.float32, share=ALONE, annotated=None):
    recipe = Recipe(
        configuration=run.configuration,
        train=run.method.train,
        space=LabelSpace.parse(run.labels, run.regions_class_order),
        channels=1,
        mirror_axes=run.mirror_axes,
        seed=run.seed,
        device=torch.device(device),
        precision=precision,
        share=share,
    )
    cases = [MemoryCase(name) for name in "abc"]
    cases[1].annotated = annotated
    return assemble(recipe, train_cases=cases[:2], val_cases=cases[2:])


def share_run(optimizer="sgd"):
    """For several processes: batches of 3, which two cannot halve, pooled Dice, augmented, averaged weights."""
    augment = (Component(name="noise"), Component(name="mirror"))
    run = tiny_run(method(name=optimizer, augment=augment, weight_average=0.9), epochs=SHARE_EPOCHS)
    pooled = run.configuration.model_copy(update={"batch_size": 3, "batch_dice": True})
    return run.model_copy(update={"configuration": pooled})


class Silent:
    """An observer that keeps what it is told."""

    def __init__(self):
        self.losses, self.epochs = [], []

    def updated(self, update, total, loss):
        self.losses.append(loss)

    def epoch_finished(self, log, seconds):
        self.epochs.append(log)
