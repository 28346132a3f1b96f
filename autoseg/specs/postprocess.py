"""`postprocess.json` of a model folder: which steps follow the prediction, and the scores that chose them."""

from __future__ import annotations

from pydantic import Field

from autoseg.specs.document import Component, Document, Section

POSTPROCESS_FILE = "postprocess.json"


class Trial(Section):
    """One step that was tried on the held-out masks, after the steps kept before it."""

    step: Component
    """What was tried."""
    before: dict[str, float | None]
    """Region -> mean Dice without it; null where no case has the region."""
    after: dict[str, float | None]
    """Region -> mean Dice with it."""
    kept: bool
    """Whether it is among `steps`."""
    reason: str
    """Why, in words."""
    tried: dict[str, float | None] = {}
    """Variant, such as a threshold -> mean Dice over regions; `step` is the best."""
    protocol_before: dict[str, float] = {}
    """Metric that the data set's challenge ranks by -> mean without it; empty where it was not asked."""
    protocol_after: dict[str, float] = {}
    """Metric -> mean with it, over the same cases and regions."""


class Postprocess(Document):
    """Steps and their grounds."""

    steps: tuple[Component, ...]
    """In order of application; empty where nothing helped."""
    configurations: tuple[str, ...]
    """Members whose merged masks decided; the steps are applied to these members only."""
    model: str
    """Digest of the `model.json` it was decided for; empty fits any."""
    folds: tuple[str, ...] = ()
    """Folds whose held-out cases decided."""
    cases: int = 0
    """Held-out cases that decided."""
    before: dict[str, float | None] = Field(default_factory=dict)
    """Region -> mean Dice of the held-out masks as predicted."""
    after: dict[str, float | None] = Field(default_factory=dict)
    """Region -> mean Dice with all `steps`."""
    reason: str = ""
    """Summary in words."""
    protocol: str = ""
    """Scoring protocol that no step may worsen; empty where the data set names none."""
    trials: tuple[Trial, ...] = ()
    """All that was tried, in order."""
