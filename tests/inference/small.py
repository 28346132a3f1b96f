"""A configuration small enough to run, for tests and the programs that they start."""

from __future__ import annotations

from typing import Any

from autoseg.specs.document import Component
from autoseg.specs.fingerprint import IntensityStatistics
from autoseg.specs.plan import Configuration, Preprocessing, Topology

STATISTICS = IntensityStatistics(
    mean=0.0, median=0.0, std=1.0, minimum=-1.0, maximum=1.0, percentile_00_5=-1.0, percentile_99_5=1.0
)


def two_levels(dimensions: int, features: tuple[int, int] = (4, 8)) -> Topology:
    """The smallest U-Net: one skip connection."""
    return Topology(
        features=features,
        strides=((1,) * dimensions, (2,) * dimensions),
        kernels=((3,) * dimensions,) * 2,
        encoder_blocks=(1, 1),
        decoder_blocks=(1,),
    )


def small_configuration(
    name: str,
    patch: tuple[int, ...],
    *,
    features: tuple[int, int] = (4, 8),
    median: tuple[int, int, int] = (64, 64, 64),
    channels: int = 1,
    preprocessing: dict[str, Any],
    **more: Any,
) -> Configuration:
    """Two levels of a plain U-Net; `preprocessing` says how the image is turned and gridded."""
    return Configuration(
        name=name,
        preprocessing=Preprocessing(
            normalization=(Component(name="zscore"),) * channels,
            mask_normalization=(False,) * channels,
            intensities=(STATISTICS,) * channels,
            **preprocessing,
        ),
        patch_size_voxels=patch,
        batch_size=2,
        median_shape_voxels=median,
        topology=two_levels(len(patch), features),
        network=Component(name="plain_unet"),
        batch_dice=False,
        **more,
    )
