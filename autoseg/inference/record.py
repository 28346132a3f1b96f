"""`predict.json`: settings as asked for, completed by what the model says."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from autoseg.core.errors import SpecError
from autoseg.inference.steps import read_steps
from autoseg.specs.model import Model
from autoseg.specs.prediction import PredictionRecord


class Settings(Protocol):
    """What is asked for; None and empty leave it to the model."""

    @property
    def configurations(self) -> tuple[str, ...]: ...
    @property
    def folds(self) -> tuple[str, ...]: ...
    @property
    def mirror(self) -> bool | None: ...
    @property
    def step_size(self) -> float | None: ...
    @property
    def precision(self) -> str: ...
    @property
    def weights(self) -> dict[str, float]: ...
    @property
    def postprocess(self) -> bool: ...


def prediction_record(folder: Path, model: Model, asked: Settings) -> PredictionRecord:
    """What will make the masks.

    Args:
        folder: The model folder.
        model: Its recipe.
        asked: Settings of the call.

    Raises:
        SpecError: `postprocess.json` is damaged, or the window step is none.
        RegistryError: It names a step or an option that does not exist.
    """
    final = asked.configurations or model.selected
    mirrors = model.predict.mirror if asked.mirror is None else asked.mirror
    return PredictionRecord(
        dataset=model.dataset,
        method=model.method,
        model=model.digest(),
        configurations=final,
        folds=asked.folds,
        mirror_axes=model.mirror_axes if mirrors else (),
        step_size=chosen_step_size(model, asked.step_size),
        precision=asked.precision,
        weights=asked.weights,
        steps=read_steps(folder, model, final) if asked.postprocess else (),
    )


def chosen_step_size(model: Model, asked: float | None) -> float:
    """Window step as a share of the patch: larger ones would leave gaps.

    Raises:
        SpecError: It is not above 0 and at most 1.
    """
    if asked is None:
        return model.predict.step_size
    if not 0 < asked <= 1:
        raise SpecError(f"the window step is {asked:g} of the patch", "give a share above 0 and at most 1, such as 0.5")
    return asked
