"""`predict.json`: settings as asked for, completed by what the model says."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

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
        SpecError: `postprocess.json` is damaged.
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
        step_size=model.predict.step_size if asked.step_size is None else asked.step_size,
        precision=asked.precision,
        weights=asked.weights,
        steps=read_steps(folder, model, final) if asked.postprocess else (),
    )
