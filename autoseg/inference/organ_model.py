"""A model folder as the first stage of another model: copied into it, so that it needs nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from autoseg.core.atomic import replacing_folder
from autoseg.core.errors import SpecError
from autoseg.specs.model import MODEL_FILE, Member, Model
from autoseg.specs.postprocess import POSTPROCESS_FILE

ORGAN = "organ"
"""Its folder in the whole model's."""


def check_organ_model(model: Model, source: str, *, channels: int | None = None) -> None:
    """Whether a model can find the region of another one; asked before anything is trained.

    Args:
        model: Its recipe.
        source: How to name it.
        channels: Of the images that it is to segment; None does not ask.

    Raises:
        SpecError: It builds on a third model, or takes other channels.
    """
    if any(one.configuration.region is not None for one in model.members.values()):
        raise SpecError(f"{source} is a region-of-interest cascade itself", "name a model of a single stage")
    if channels not in (None, len(model.channels)):
        raise SpecError(
            f"{source} takes {len(model.channels)} channels ({', '.join(model.channels)}), the data set has {channels}",
            "name a model of the same channels",
        )


def pack_organ_model(folder: Path, member: Member) -> Member:
    """Copy the model that finds a member's region, if it has one, into the folder of the whole model.

    Args:
        folder: Of the whole model.
        member: As trained; its region names a model folder.

    Returns:
        The member, its region naming the copy.

    Raises:
        SpecError: There is no such model, or it builds on a third one.
    """
    region = member.configuration.region
    if region is None or region.model is None:
        return member
    source = Path(region.model)
    model = Model.load(source / MODEL_FILE)
    check_organ_model(model, str(source))
    files = [file for one in model.members.values() for file in one.weights.values()]
    with replacing_folder(folder / ORGAN) as temporary:
        for name in (MODEL_FILE, *files, *(one for one in (POSTPROCESS_FILE,) if (source / one).is_file())):
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, temporary / name)
    here = region.model_copy(update={"model": ORGAN})
    return member.model_copy(update={"configuration": member.configuration.model_copy(update={"region": here})})
