"""Sizes and networks of the cost model: those that it is fitted on, and those that only judge it."""

from __future__ import annotations

from typing import Any

from autoseg.specs.plan import Topology

SIZES = ("32x48x48", "32x96x96", "48x112x112", "80x144x144")
"""Phantoms to fit on, typical voxels along (z, y, x)."""
HELD_OUT_SIZES = ("64x128x128", "96x224x224")
CASES = 2
COARSER = (1.5, 1.0)
"""Steps of the plan's grid over the scans'; the last one stays and is trained on."""
CLASSES = (2, 12)
UPDATES = 2


def _update(features: int, patch: tuple[int, int, int], batch: int, *, held_out: bool = False) -> dict[str, Any]:
    return {"features": features, "patch": patch, "batch": batch, "held_out": held_out}


def _prediction(
    number: int, features: int, patch: tuple[int, int, int], classes: int, *, held_out: bool = False
) -> dict[str, Any]:
    names = {"features": features, "patch": patch, "classes": classes, "held_out": held_out}
    return {"dataset": dataset_name(number), **names}


def dataset_name(number: int) -> str:
    """Folder of the phantoms of one size, numbered from 1."""
    return f"Dataset{number:03d}_PhantomLiver"


TRAININGS = (
    _update(8, (32, 32, 32), 2),
    _update(8, (48, 48, 48), 2),
    _update(16, (32, 32, 32), 2),
    _update(16, (32, 48, 48), 4),
    _update(24, (32, 32, 32), 2),
    _update(12, (40, 40, 40), 3, held_out=True),
    _update(24, (48, 48, 48), 2, held_out=True),
)
PREDICTIONS = (
    _prediction(1, 8, (32, 32, 32), 2),
    _prediction(1, 16, (32, 32, 32), 2),
    _prediction(2, 8, (32, 32, 32), 2),
    _prediction(2, 8, (32, 32, 32), 12),
    _prediction(2, 16, (32, 48, 48), 2),
    _prediction(3, 8, (32, 48, 48), 2),
    _prediction(3, 8, (32, 48, 48), 12),
    _prediction(4, 8, (48, 48, 48), 2),
    _prediction(3, 12, (32, 48, 48), 5, held_out=True),
    _prediction(5, 8, (48, 48, 48), 8, held_out=True),
)


def u_net(features: int, stages: int = 4, largest: int = 320) -> Topology:
    """nnU-Net's U-Net of a given width, every level half the size of the one before."""
    return Topology(
        features=tuple(min(largest, features * 2**stage) for stage in range(stages)),
        strides=((1, 1, 1), *((2, 2, 2),) * (stages - 1)),
        kernels=((3, 3, 3),) * stages,
        encoder_blocks=(2,) * stages,
        decoder_blocks=(2,) * (stages - 1),
    )
