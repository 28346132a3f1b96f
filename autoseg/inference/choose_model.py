"""Which model folder is meant; nothing is loaded."""

from __future__ import annotations

from pathlib import Path

from autoseg.core.errors import SpecError
from autoseg.core.workspace import Workspace
from autoseg.specs.model import MODEL_FILE


def choose_model(
    workspace: Workspace, *, folder: Path | None = None, dataset: str | None = None, method: str | None = None
) -> Path:
    """The folder given, else the only model of the workspace that fits.

    Args:
        workspace: Holds models.
        folder: Model folder; the workspace is not asked.
        dataset: Folder name of the data set that the model was trained on.
        method: Name of its method.

    Raises:
        SpecError: There is none, or more than one, which are listed.
    """
    if folder is not None:
        if not (folder / MODEL_FILE).is_file():
            raise SpecError(f"{folder} is not a model folder (it has no {MODEL_FILE})", "check the path")
        return folder
    everything = workspace.models()
    found = [path for path in everything if dataset in (None, path.parent.name) and method in (None, path.name)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"-m {path}" for path in found or everything)
    if found:
        raise SpecError(f"{len(found)} models fit", f"name one of {listed}")
    wanted = " ".join(name for name in (dataset, method) if name is not None)
    problem = f"no model of {wanted} in {workspace.root}" if wanted else f"no model in {workspace.root}"
    raise SpecError(problem, f"name one of {listed}" if listed else "train one: autoseg plan_and_train DATASET")
