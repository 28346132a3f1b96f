"""import: a packed model, or a trained nnU-Net v2 model, checked and put among the models of the workspace."""

from __future__ import annotations

import functools
import logging
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autoseg.core.atomic import PARTIAL_PREFIX, named_disk_errors
from autoseg.core.errors import SpecError
from autoseg.core.workspace import Workspace
from autoseg.specs.model import MODEL_FILE
from autoseg.specs.package import MANIFEST_FILE

logger = logging.getLogger(__name__)
PEER_FILE = "plans.json"


@dataclass(frozen=True)
class Options:
    """What to take in, and under which name.

    Attributes:
        source: Packed model, model folder, or nnU-Net v2's results folder or zip.
        id: Data set number to file it under; None keeps its own.
        name: Data set name to file it under; None keeps its own.
        overwrite: Replace a model of the same data set and method.
        configurations: nnU-Net: only these, with the stages that they need; they are selected together.
        folds: nnU-Net: only these; empty takes all that are trained.
        checkpoint: nnU-Net: which of a fold's weights.
        any_trainer: nnU-Net: take weights of a trainer that nnU-Net does not ship.
        postprocess: nnU-Net: take its post-processing; other models keep theirs.
        postprocessing: nnU-Net: file of its post-processing; None takes that of its cross-validation.
    """

    source: Path
    id: int | None = None
    name: str | None = None
    overwrite: bool = False
    configurations: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    checkpoint: Literal["final", "best", "latest"] = "final"
    any_trainer: bool = False
    postprocess: bool = True
    postprocessing: Path | None = None


def run(options: Options, workspace: Workspace) -> Path:
    """Check a model and file it.

    Returns:
        The model folder.

    Raises:
        SpecError: It is no model, a part of it is not what it must be, or cannot be represented here.
        CheckpointError: nnU-Net's weights are damaged, or hold more than weights.
        StorageError: The disk is full, or the workspace cannot be written.
    """
    files = _top_files(options.source)
    if PEER_FILE in files:
        from autoseg.inference.nnunet_import import Choice, import_nnunet

        choice = Choice(
            options.configurations,
            options.folds,
            options.checkpoint,
            any_trainer=options.any_trainer,
            postprocess=options.postprocess,
            postprocessing=options.postprocessing,
        )
        return import_nnunet(
            options.source,
            workspace,
            choice=choice,
            number=options.id,
            name=options.name,
            overwrite=options.overwrite,
        )
    if options.configurations or options.folds:
        raise SpecError("--configurations and --folds choose from nnU-Net's models", "leave them out")
    if options.postprocessing is not None or not options.postprocess:
        raise SpecError(
            "--postprocessing and --no-postprocess are for nnU-Net's models", "leave them out when you import"
        )
    from autoseg.inference.share import pack_model, unpack_model

    unpack = functools.partial(
        unpack_model, workspace=workspace, number=options.id, name=options.name, overwrite=options.overwrite
    )
    if MANIFEST_FILE in files or MODEL_FILE not in files or options.source.is_file():
        return unpack(options.source)
    # A bare model folder has no manifest: it is packed first, so that one way in has to be safe.
    with named_disk_errors(workspace.root):
        workspace.root.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=workspace.root)
    with place as folder:
        packed = Path(folder) / "model.zip"
        pack_model(options.source, packed)
        return unpack(packed)


def _top_files(source: Path) -> set[str]:
    """Names that tell what it is; nnU-Net's `plans.json` may lie deeper."""
    if source.is_dir():
        found = {path.name for path in source.iterdir()}
        return found | {PEER_FILE} if MODEL_FILE not in found and any(source.rglob(PEER_FILE)) else found
    if not source.is_file():
        raise SpecError(f"there is no {source}", "check the path")
    try:
        with zipfile.ZipFile(source) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise SpecError(f"{source} is not a whole zip file ({error})", "copy it again") from error
    deeper = {PEER_FILE for name in names if name.rpartition("/")[2] == PEER_FILE}
    return names if names & {MANIFEST_FILE, MODEL_FILE} else names | deeper
