"""A trained model on disk: `model.json` beside `weights/*.safetensors`, checked and turned into networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from autoseg.core.errors import CheckpointError, SpecError
from autoseg.core.labels import LabelSpace
from autoseg.core.registry import nearest
from autoseg.io.weights import load_weights, save_weights
from autoseg.networks import networks as registry
from autoseg.specs.model import MODEL_FILE, Member, Model
from autoseg.specs.plan import Configuration

Weights = Mapping[str, Mapping[str, Mapping[str, torch.Tensor]]]
"""Configuration -> fold -> state dict."""


@dataclass(frozen=True)
class LoadedMember:
    """One configuration, ready to run.

    Attributes:
        configuration: Network and preprocessing.
        networks: One per fold, on the CPU in float32, in evaluation mode.
    """

    configuration: Configuration
    networks: tuple[nn.Module, ...]


def write_model_folder(folder: Path, model: Model, weights: Weights) -> Model:
    """Write weights first and `model.json` last, so that a folder with a `model.json` is complete.

    Args:
        folder: Made where it does not exist.
        model: Its members name files and digests for nothing: both are set here.
        weights: Configuration -> fold -> state dict; configurations are those of `model.members`.

    Returns:
        The model as written.

    Raises:
        SpecError: `weights` and the members differ.
        AutosegError: The disk is full, or the folder cannot be written.
    """
    if weights.keys() != model.members.keys():
        raise SpecError(f"weights are for {sorted(weights)}, the model's members are {sorted(model.members)}")
    members = {}
    for name, folds in weights.items():
        files = {fold: f"weights/{name}_fold_{fold}.safetensors" for fold in folds}
        digests = {fold: save_weights(folder / files[fold], state) for fold, state in folds.items()}
        members[name] = Member(configuration=model.members[name].configuration, weights=files, sha256=digests)
    written = model.model_copy(update={"members": members})
    written.save(folder / MODEL_FILE)
    return written


def read_model(folder: Path) -> Model:
    """The recipe of a model folder; no weights are read.

    Raises:
        SpecError: The folder has no valid `model.json`.
    """
    if not (folder / MODEL_FILE).is_file():
        raise SpecError(
            f"{folder} is not a model folder (it has no {MODEL_FILE})", "name the folder that training wrote"
        )
    return Model.load(folder / MODEL_FILE)


def load_members(
    folder: Path, model: Model, *, configurations: Sequence[str] = (), folds: Sequence[str] = ()
) -> tuple[LoadedMember, ...]:
    """Networks of the chosen members, and before each of them those of the stages that it builds on.

    Args:
        folder: The model folder.
        model: Its recipe.
        configurations: Members to use; empty takes the selected ones.
        folds: Folds to use; empty takes all of each member. A previous stage that lacks one of them takes all of its
            own.

    Raises:
        SpecError: A configuration or fold that the model does not have.
        CheckpointError: Weights that are missing, damaged, or of another network.
    """
    chosen: list[str] = []
    for name in configurations or model.selected:
        for needed in with_previous_stages(model, name):
            if needed not in chosen:
                chosen.append(needed)
    final = set(configurations or model.selected)
    members = []
    for name in chosen:
        member = model.members[name]
        # A cascade trained on every case has the folds of its previous stage, and no such network of it.
        usable = folds if name in final or set(folds) <= set(member.weights) else ()
        members.append(_load_member(folder, model, member, usable))
    return tuple(members)


def space_of(model: Model, final: Sequence[str]) -> LabelSpace:
    """What the labels of some members' average mean.

    Args:
        model: The recipe.
        final: Members whose probabilities are averaged.

    Raises:
        SpecError: They cannot be averaged: their labels differ, or one looks at a region alone.
    """
    chosen = [model.members[name].configuration for name in final]
    if len(chosen) > 1 and any(one.labels is not None or one.region is not None for one in chosen):
        raise SpecError(f"{' and '.join(final)} have other labels or regions: no average", "name one of them alone")
    return chosen[0].label_space(model.labels, model.regions_class_order)


def with_previous_stages(model: Model, name: str) -> tuple[str, ...]:
    """A member after the cascade stages that it needs, first stage first.

    Raises:
        SpecError: The model lacks one of them.
    """
    if name not in model.members:
        raise SpecError(f"the model of {model.dataset} has no configuration '{name}'", nearest(name, model.members))
    previous = model.members[name].configuration.previous_stage
    return (name,) if previous is None else (*with_previous_stages(model, previous), name)


def checked_weights(model: Model, final: Sequence[str], asked: Mapping[str, float]) -> dict[str, float]:
    """Share of every member in the average.

    Args:
        model: Has weights of its own, or none.
        final: Members that are averaged.
        asked: Weights that count instead of the model's, if there are any.

    Raises:
        SpecError: A weight that is not positive, or of a configuration that is not averaged.
    """
    for name, weight in asked.items():
        if name not in final:
            raise SpecError(f"'{name}' has a weight, but is not averaged", nearest(name, final))
        if not (math.isfinite(weight) and weight > 0):
            raise SpecError(f"the weight of '{name}' is {weight:g}", "give a positive number, or leave the member out")
    # The model's own were found for the average that it selected: in another one they would tip the scales.
    own = model.member_weights if set(final) == set(model.selected) else {}
    chosen = dict(asked) or own
    return {name: chosen.get(name, 1.0) for name in final}


def build_network(
    configuration: Configuration, *, channels: int, space: LabelSpace, weights: Path, sha256: str | None = None
) -> nn.Module:
    """One network with its weights, in evaluation mode.

    Args:
        configuration: What to build.
        channels: Image channels, without those of a cascade.
        space: Decides the heads, and the channels of a cascade.
        weights: Safetensors file.
        sha256: Digest that the file must have.

    Raises:
        CheckpointError: The file is missing, damaged, or of another network.
    """
    network: nn.Module = registry.build(
        configuration.network.name,
        configuration.network.options,
        topology=configuration.topology,
        channels=configuration.input_channels(channels, space),
        heads=space.heads,
    )
    try:
        network.load_state_dict(load_weights(weights, sha256=sha256))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise CheckpointError(
            f"the weights {weights} are of another network than '{configuration.network.name}' ({first})",
            "restore the model.json that belongs to them",
        ) from error
    if hasattr(network, "deep_supervision"):
        setattr(network, "deep_supervision", False)  # noqa: B010 - not every network has it
    return network.eval()


def _load_member(folder: Path, model: Model, member: Member, folds: Sequence[str]) -> LoadedMember:
    space = member.configuration.label_space(model.labels, model.regions_class_order)
    name = member.configuration.name
    for fold in folds:
        if fold not in member.weights:
            raise SpecError(f"the model's '{name}' has no fold '{fold}'", nearest(fold, member.weights))
    networks = tuple(
        build_network(
            member.configuration,
            channels=len(model.channels),
            space=space,
            weights=folder / member.weights[fold],
            sha256=member.sha256.get(fold),
        )
        for fold in folds or member.weights
    )
    return LoadedMember(member.configuration, networks)
