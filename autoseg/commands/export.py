"""export: a model folder in one file, for another workspace or for nnU-Net v2."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autoseg.core.workspace import Workspace
from autoseg.inference.choose_model import choose_model
from autoseg.specs.model import MODEL_FILE

logger = logging.getLogger(__name__)
Format = Literal["autoseg", "nnunet"]


@dataclass(frozen=True)
class Options:
    """What to pack.

    Attributes:
        model: Model folder, or the data set whose model it is.
        output: Zip file; for nnU-Net also a folder.
        format: `autoseg`, or `nnunet` for folders that nnU-Net v2 predicts with.
        method: Method, where a data set has models of several.
        postprocess: Refuse post-processing, which nnU-Net's folders cannot hold; False leaves it out.
    """

    model: str
    output: Path
    format: Format = "autoseg"
    method: str | None = None
    postprocess: bool = True


def run(options: Options, workspace: Workspace) -> Path:
    """Pack a model.

    Returns:
        The file or folder written.

    Raises:
        SpecError: There is no such model, it is damaged, or the format cannot hold it.
        DatasetError: There is no such data set.
        StorageError: The disk is full, or the output cannot be written.
    """
    folder = _model_folder(options, workspace)
    if options.format == "nnunet":
        from autoseg.inference.nnunet_export import export_nnunet

        written = export_nnunet(folder, options.output, postprocess=options.postprocess)
    else:
        from autoseg.inference.share import pack_model

        written = pack_model(folder, options.output)
    logger.info("%s: %d files of %s", options.output, len(written), folder)
    return options.output


def _model_folder(options: Options, workspace: Workspace) -> Path:
    path = Path(options.model)
    if (path / MODEL_FILE).is_file():
        return path
    return choose_model(workspace, dataset=workspace.resolve_trained(options.model), method=options.method)
