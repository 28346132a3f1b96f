"""`ensemble.json` of a model folder: what was compared on the held-out cases, and what that decided."""

from __future__ import annotations

from autoseg.specs.document import Document, Section

ENSEMBLE_FILE = "ensemble.json"


class Weighting(Section):
    """Shares of the members in the selected average that were tried."""

    weights: dict[str, float]
    """Configuration -> share; they sum to 1."""
    dice: float
    """Mean over regions of the mean Dice over the held-out cases."""


class Ensemble(Document):
    """Grounds of a choice."""

    selected: tuple[str, ...]
    """Members whose probabilities are averaged."""
    reason: str
    """Why these, in words."""
    scores: dict[str, float]
    """Configuration, or configurations joined by `+` -> mean over regions of the mean Dice over the held-out cases."""
    cases: tuple[str, ...]
    """Held-out cases that several configurations were compared on; empty where each has its own."""
    weights: dict[str, float]
    """Share of every selected member."""
    weights_reason: str
    """Why these shares, in words."""
    weightings: tuple[Weighting, ...] = ()
    """All shares that were tried, equal ones first; empty where they were not searched."""
