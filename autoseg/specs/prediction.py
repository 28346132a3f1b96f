"""`predict.json`: what made the masks of a folder, so that a second call goes on only where it fits."""

from __future__ import annotations

from autoseg.specs.document import Component, Document


class PredictionRecord(Document):
    """Model and settings."""

    dataset: str
    """Folder name of the data set the model was trained on."""
    method: str
    """Name of the method."""
    model: str
    """Digest of `model.json`."""
    configurations: tuple[str, ...]
    """Members whose probabilities are averaged."""
    folds: tuple[str, ...]
    """Folds asked for; empty means all."""
    mirror_axes: tuple[int, ...]
    """Axes of the mirrored copies."""
    step_size: float
    """Window step as a share of the patch."""
    precision: str
    """Type computed in."""
    weights: dict[str, float] = {}
    """Member -> share in the average, as asked for; empty takes the model's."""
    steps: tuple[Component, ...] = ()
    """Post-processing."""
