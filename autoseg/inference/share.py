"""A model folder packed in one file, and unpacked again into a workspace after every part of it was checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.core.atomic import replacing_folder
from autoseg.core.errors import SpecError
from autoseg.core.labels import LabelSpace
from autoseg.core.workspace import DATASET_FOLDER, Workspace, dataset_folder
from autoseg.inference.organ_model import ORGAN
from autoseg.intensity import normalizers
from autoseg.io.package import (
    LARGEST_DOCUMENT_BYTES,
    SAFE_PART,
    WEIGHTS,
    check_safetensors,
    extract,
    open_package,
    read_bounded,
    write_package,
)
from autoseg.networks import networks
from autoseg.postprocessing import steps
from autoseg.specs.ensemble import ENSEMBLE_FILE, Ensemble
from autoseg.specs.model import MODEL_FILE, Member, Model
from autoseg.specs.plan import Configuration
from autoseg.specs.postprocess import POSTPROCESS_FILE, Postprocess

if TYPE_CHECKING:
    import torch

COMPANIONS = (POSTPROCESS_FILE, ENSEMBLE_FILE, "scores.json", "card.md")
ORIGIN = "origin"
"""Folder with the documents of the program that trained an imported model."""
_CURE = "do not use it; ask its author for another one"


def pack_model(folder: Path, target: Path) -> tuple[str, ...]:
    """Write a model folder as one file.

    Args:
        folder: Holds `model.json`.
        target: Zip file.

    Returns:
        What was packed; other files of the folder are left out.

    Raises:
        SpecError: The folder is no valid model.
        StorageError: The disk is full, or the target cannot be written.
    """
    model = check_model_folder(folder)
    names = _names(folder, model)
    if (folder / ORGAN).is_dir() and _has_organ_model(model):
        names += [f"{ORGAN}/{name}" for name in _names(folder / ORGAN, check_model_folder(folder / ORGAN))]
    return tuple(write_package(folder, names, target).files)


def unpack_model(
    source: Path, workspace: Workspace, *, number: int | None = None, name: str | None = None, overwrite: bool = False
) -> Path:
    """Check a packed model and put it among the models of a workspace, whole or not at all.

    Args:
        source: What `pack_model` wrote, or a folder that it was unpacked to.
        workspace: Gets the model.
        number: Data set number to file it under; None keeps the packed one.
        name: Data set name to file it under; None keeps the packed one.
        overwrite: Replace a model of the same data set and method.

    Returns:
        The model folder.

    Raises:
        SpecError: A part of it is not what a model consists of, by name; or the model is there already.
        RegistryError: It needs a component or an option that this autoseg does not have.
        StorageError: The disk is full, or the workspace cannot be written.
    """
    with open_package(source) as (package, members):
        if MODEL_FILE not in members:
            raise SpecError(f"{source} has no {MODEL_FILE}", _CURE)
        model = _parse_model(read_bounded(members[MODEL_FILE], LARGEST_DOCUMENT_BYTES), f"{source}/{MODEL_FILE}")
        target = place_for(workspace, filed_under(model.dataset, number, name), model.method, overwrite=overwrite)
        with replacing_folder(target) as temporary:
            extract(package, members, temporary)
            check_model_folder(temporary)
            _rename(temporary, model, target.parent.name)
    return target


def check_model_folder(folder: Path) -> Model:
    """The recipe, after everything that `predict` will read was checked; no number is read.

    Raises:
        SpecError: A document that does not validate, or weights of another network.
        RegistryError: An unknown component or option.
    """
    if not (folder / MODEL_FILE).is_file():
        raise SpecError(f"{folder} is not a model folder (it has no {MODEL_FILE})", "check the path")
    model = _parse_model((folder / MODEL_FILE).read_bytes(), MODEL_FILE)
    for member in model.members.values():
        space = member.configuration.label_space(model.labels, model.regions_class_order)
        for fold, file in member.weights.items():
            if not (folder / file).is_file():
                raise SpecError(f"the weights '{file}' of {member.configuration.name} are missing", "copy it again")
            if fold not in member.sha256:
                raise SpecError(f"{MODEL_FILE} has no digest of '{file}'", _CURE)
            _check_weights(folder, file, member, channels=len(model.channels), space=space)
    _check_documents(folder)
    if _has_organ_model(model):
        inner = check_model_folder(folder / ORGAN)
        if any(member.configuration.region is not None for member in inner.members.values()):
            raise SpecError(f"the model in '{ORGAN}' is a region-of-interest cascade itself", _CURE)
    return model


def _has_organ_model(model: Model) -> bool:
    regions = [member.configuration.region for member in model.members.values()]
    return any(region is not None and region.model is not None for region in regions)


def _names(folder: Path, model: Model) -> list[str]:
    """Files of a model folder, without those of the one inside of it."""
    weights = [file for member in model.members.values() for file in member.weights.values()]
    documents = [name for name in COMPANIONS if (folder / name).is_file()]
    origin = [f"{ORIGIN}/{path.name}" for path in sorted((folder / ORIGIN).glob("*.json"))]
    return [MODEL_FILE, *documents, *origin, *weights]


def filed_under(dataset: str, number: int | None, name: str | None) -> str:
    """Folder name of a data set, with another number or name where one is given.

    Raises:
        SpecError: The name cannot be one of a folder, or no number is known.
    """
    if number is None and name is None:
        return dataset
    match = DATASET_FOLDER.fullmatch(dataset)
    own = int(match.group(1)) if match else None
    number = own if number is None else number
    if number is None:
        raise SpecError(f"'{dataset}' has no number", "give one with --id")
    if not 0 <= number <= 999:
        raise SpecError(f"--id {number}", "give a number from 0 to 999")
    return checked_part(dataset_folder(number, name or (match.group(2) if match else dataset)), "data set")


def checked_part(name: str, what: str) -> str:
    """A name that is used as one of a folder or file.

    Raises:
        SpecError: It has characters that lead elsewhere.
    """
    if not SAFE_PART.fullmatch(name):
        raise SpecError(f"the {what} is named {name!a}", "use letters, digits, '.', '_', '+' and '-', a letter first")
    return name


def place_for(workspace: Workspace, dataset: str, method: str, *, overwrite: bool) -> Path:
    """Folder for a model.

    Raises:
        SpecError: A model is there and `overwrite` is off.
    """
    folder = workspace.model(dataset, method)
    if folder.exists() and not overwrite:
        raise SpecError(
            f"there is a model of {dataset} by {method} already", "add --overwrite, or give another --id or --name"
        )
    return folder


def expected_shapes(chosen: Configuration, *, channels: int, space: LabelSpace) -> dict[str, tuple[int, ...]]:
    """Shapes of a network's weights by name; no memory is taken for them.

    Args:
        chosen: Topology and network.
        channels: Image channels, without those of a cascade.
        space: What its heads mean.

    Raises:
        SpecError: The topology is none.
        RegistryError: An unknown network or option.
    """
    import torch

    options = networks.options(chosen.network.name, chosen.network.options)
    try:
        with torch.device("meta"):
            network: torch.nn.Module = networks.build(
                chosen.network.name,
                options.model_dump(),
                topology=chosen.topology,
                channels=chosen.input_channels(channels, space),
                heads=space.heads,
            )
    except (ValueError, IndexError, RuntimeError, TypeError) as error:
        raise SpecError(f"the topology of '{chosen.name}' makes no network ({error})", _CURE) from error
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _check_weights(folder: Path, file: str, member: Member, *, channels: int, space: LabelSpace) -> None:
    found, topology = check_safetensors(folder / file, file), member.configuration.topology
    # Before the network is built: every block has weights, so that a made-up topology of millions of them ends here.
    if sum((*topology.encoder_blocks, *topology.decoder_blocks)) > len(found):
        raise SpecError(f"'{file}' has fewer weights than the topology of its configuration", _CURE)
    expected = expected_shapes(member.configuration, channels=channels, space=space)
    for name in (*expected, *found):
        if expected.get(name) != found.get(name):
            what = f"'{name}' is {found.get(name, 'missing')}, its network has {expected.get(name, 'none')}"
            raise SpecError(f"'{file}' is of another network than {MODEL_FILE} says ({what})", _CURE)


def _check_documents(folder: Path) -> None:
    if (folder / POSTPROCESS_FILE).is_file():
        for step in Postprocess.load(folder / POSTPROCESS_FILE).steps:
            steps.options(step.name, step.options)
    if (folder / ENSEMBLE_FILE).is_file():
        Ensemble.load(folder / ENSEMBLE_FILE)
    for path in (folder / "scores.json", *sorted((folder / ORIGIN).glob("*.json"))):
        if path.is_file():
            _json(path.read_bytes(), path.name)
    if (folder / "card.md").is_file():
        try:
            (folder / "card.md").read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise SpecError(f"'card.md' is no text ({error})", _CURE) from error


def _parse_model(content: bytes, source: str) -> Model:
    model = Model.parse(_json(content, source), source)
    checked_part(model.dataset, "data set")
    checked_part(model.method, "method")
    for name, member in model.members.items():
        checked_part(name, "configuration")
        region = member.configuration.region
        if region is not None and region.model not in (None, ORGAN):
            raise SpecError(f"'{name}' finds its region with the model {region.model!a}", f"only '{ORGAN}' is inside")
        for section in member.configuration.preprocessing.normalization:
            normalizers.options(section.name, section.options)
        for file in member.weights.values():
            folder, slash, stem = file.partition("/")
            if folder != "weights" or not slash or not SAFE_PART.fullmatch(stem) or not stem.endswith(WEIGHTS):
                raise SpecError(f"{source}: the weights of {name} are {file!a}", "only weights/*.safetensors are read")
    _check_members(model, source)
    return model


def _check_members(model: Model, source: str) -> None:
    """Whether what is selected can be run."""
    for name in model.selected:
        if name not in model.members:
            raise SpecError(f"{source}: the selected '{name}' is no member", _CURE)
    if not model.selected or len(set(model.selected)) < len(model.selected):
        raise SpecError(f"{source} selects {list(model.selected)}", _CURE)
    for name, member in model.members.items():
        own = member.configuration
        if own.name != name or not member.weights:
            raise SpecError(f"{source}: '{name}' has the weights of {len(member.weights)} folds of '{own.name}'", _CURE)
        stages = [name]
        while (stage := model.members[stages[-1]].configuration.previous_stage) is not None:
            if stage not in model.members or stage in stages:
                what = "comes before itself" if stage in stages else "is no member"
                raise SpecError(f"{source}: '{stage}', from which '{stages[-1]}' takes its input, {what}", _CURE)
            stages.append(stage)
        if own.region is not None and own.region.model is None and own.previous_stage is None:
            raise SpecError(f"{source}: nothing finds the region of '{name}'", _CURE)
    apart = [name for name in model.selected if _has_own_labels(model.members[name].configuration)]
    if apart and len(model.selected) > 1:
        raise SpecError(f"{source} selects '{apart[0]}' with others, though it has other labels or a region", _CURE)


def _has_own_labels(configuration: Configuration) -> bool:
    return configuration.labels is not None or configuration.region is not None


def _json(content: bytes, source: str) -> object:
    try:
        values: object = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{source} is not valid JSON ({error})", _CURE) from error
    return values


def _rename(folder: Path, model: Model, dataset: str) -> None:
    """File the model under another data set; post-processing goes on belonging to it."""
    if dataset == model.dataset:
        return
    renamed = model.model_copy(update={"dataset": dataset})
    path = folder / POSTPROCESS_FILE
    if path.is_file():
        found = Postprocess.load(path)
        if found.model == model.digest():
            found.model_copy(update={"model": renamed.digest()}).save(path)
    renamed.save(folder / MODEL_FILE)
