"""The extra input of a cascade: labels of the previous stage on the next stage's grid, one channel per label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

PreviousLabels = npt.NDArray[np.integer[Any]]
"""(Z, Y, X) on the next stage's grid."""


def with_previous_labels(image: torch.Tensor, labels: PreviousLabels, values: Sequence[int]) -> torch.Tensor:
    """Append to (C, Z, Y, X) one channel per label value: 1 inside, 0 outside."""
    channels = np.stack([labels == value for value in values]).astype(np.float32)
    return torch.cat([image, torch.from_numpy(channels).to(image.dtype)])
