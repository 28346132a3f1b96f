"""Which post-processing follows a prediction: what the model folder says, if it fits the members at work."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from autoseg.postprocessing import steps
from autoseg.specs.document import Component
from autoseg.specs.model import Model
from autoseg.specs.postprocess import POSTPROCESS_FILE, Postprocess

logger = logging.getLogger(__name__)


def read_steps(folder: Path, model: Model, final: Sequence[str]) -> tuple[Component, ...]:
    """Post-processing steps that were chosen for these members; none where there is no `postprocess.json`.

    Args:
        folder: The model folder.
        model: Its recipe.
        final: Configurations whose probabilities are averaged.

    Raises:
        SpecError: `postprocess.json` is damaged.
        RegistryError: It names a step or an option that does not exist.
    """
    path = folder / POSTPROCESS_FILE
    if not path.is_file():
        return ()
    found = Postprocess.load(path)
    for component in found.steps:
        steps.options(component.name, component.options)
    if found.model not in ("", model.digest()):
        logger.warning("%s was decided for another model and is not applied; run autoseg postprocess again", path)
        return ()
    if found.steps and set(found.configurations) != set(final):
        chosen = " + ".join(found.configurations)
        logger.info("no post-processing: it was chosen for %s, not for %s", chosen, " + ".join(final))
        return ()
    return found.steps
