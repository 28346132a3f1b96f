"""Stages of a network that a CPU computes in float32 in spite of a faster type, said in the plan."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.devices.precision import has_sound_gradient
from autoseg.networks import networks
from autoseg.networks._cost import sizes
from autoseg.networks._options import BlockOptions
from autoseg.specs.plan import Configuration, Decision


def float32_stages(configurations: Sequence[Configuration]) -> tuple[Decision, ...]:
    """One decision per 3D configuration with feature maps so shallow that torch's bfloat16 gradients are wrong.

    Args:
        configurations: All of the plan.

    Raises:
        RegistryError: Unknown network or option.
    """
    found = []
    for one in configurations:
        slices = _slices(one) if one.dimensions == 3 else ()
        kernels = [kernel[0] for kernel in one.topology.kernels]
        stages = [
            stage
            for stage, (depth, kernel) in enumerate(zip(slices, kernels, strict=False))
            if not has_sound_gradient(slices=depth, kernel=kernel)
        ]
        if stages:
            listed = ", ".join(str(stage) for stage in stages)
            depths = " and ".join(sorted({str(slices[stage]) for stage in stages}))
            found.append(
                Decision(
                    topic=f"{one.name} precision",
                    value=f"float32 on a CPU in stage {listed}",
                    reason=f"feature maps of {depths} slices: in bfloat16 torch's gradients of their kernels are wrong",
                )
            )
    return tuple(found)


def _slices(configuration: Configuration) -> tuple[int, ...]:
    """Of the feature maps of each stage, finest first."""
    network, patch = configuration.network, configuration.patch_size_voxels
    options = networks.options(network.name, network.options)
    fold: tuple[int, ...] | None = getattr(options, "fold", None)
    if fold is not None:
        patch = tuple(edge // step for edge, step in zip(patch, fold, strict=True))
        options = networks.options(network.options.get("network", "plain_unet"), network.options.get("options"))
    known = options if isinstance(options, BlockOptions) else BlockOptions()
    return tuple(size[0] for size in sizes(patch, configuration.topology, known))
