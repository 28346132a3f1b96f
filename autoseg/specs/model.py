"""`model.json`: the recipe of a model folder, all that `predict` needs besides the weights."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autoseg.specs.document import Document, Section, digest_of
from autoseg.specs.laterality import Laterality
from autoseg.specs.method import PredictChoices
from autoseg.specs.plan import Configuration

MODEL_FILE = "model.json"
_LATER_FIELDS = ("member_weights", "laterality")


class Member(Section):
    """One configuration with the folds whose logits are averaged."""

    configuration: Configuration
    """Network and preprocessing."""
    weights: dict[str, str]
    """Fold -> safetensors file relative to the model folder."""
    sha256: dict[str, str]
    """Fold -> digest of that file."""


class Model(Document):
    """A trained model that needs no workspace."""

    dataset: str
    """Folder name of the data set it was trained on."""
    method: str
    """Name of the method."""
    channels: tuple[str, ...]
    """Channel names, in input order."""
    labels: dict[str, int | tuple[int, ...]]
    """As in `dataset.json`."""
    regions_class_order: tuple[int, ...] | None
    """As in `dataset.json`."""
    file_ending: str
    """Ending of the masks to write when the input does not say."""
    mirror_axes: tuple[int, ...]
    """Axes that may be mirrored at prediction, after the transpose."""
    laterality: Laterality | None = None
    """Labels that change places where left-right is mirrored; None for none."""
    predict: PredictChoices
    """Sliding-window defaults."""
    members: dict[str, Member]
    """Configuration name -> member; all are trained, `selected` are used."""
    selected: tuple[str, ...]
    """Members whose probabilities are averaged, chosen on the cross-validation."""
    selection_reason: str
    """The scores that chose them."""
    training_cases: int
    """Cases seen by any fold."""
    member_weights: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    """Configuration -> its share in the average of the selected ones; 1 where it is not named."""
    licence: str = ""
    """Licence of the training data."""
    versions: dict[str, str] = {}
    """Package -> version."""

    def digest(self) -> str:
        """As of any section; without later fields it is what it was before models could have any."""
        values = self.model_dump(mode="json")
        return digest_of({key: value for key, value in values.items() if value or key not in _LATER_FIELDS})
