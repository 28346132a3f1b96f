"""Model folders come back as they were written, and anything missing or damaged is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autoseg.core.errors import CheckpointError, SpecError
from autoseg.core.workspace import Workspace
from autoseg.inference.choose_model import choose_model
from autoseg.inference.model_folder import load_members, read_model, write_model_folder
from autoseg.specs.model import Model

Maker = Callable[..., Model]


def test_a_folder_comes_back(tmp_path: Path, make_model: Maker) -> None:
    written = make_model(tmp_path, "2d", "3d_fullres")
    model = read_model(tmp_path)
    assert model == written
    members = load_members(tmp_path, model)
    assert [member.configuration.name for member in members] == ["2d", "3d_fullres"]
    assert [len(member.networks) for member in members] == [2, 2]
    for network in (network for member in members for network in member.networks):
        assert not network.training
        assert network.deep_supervision is False


def test_configurations_and_folds_can_be_chosen(tmp_path: Path, make_model: Maker) -> None:
    model = make_model(tmp_path, "2d", "3d_fullres")
    (member,) = load_members(tmp_path, model, configurations=("3d_fullres",), folds=("1",))
    assert member.configuration.name == "3d_fullres"
    (both,) = load_members(tmp_path, model, configurations=("3d_fullres",))
    chosen, expected = member.networks[0].state_dict(), both.networks[1].state_dict()
    assert all(torch.equal(chosen[name], expected[name]) for name in expected)


def test_a_cascade_brings_its_first_stage(tmp_path: Path, make_model: Maker) -> None:
    model = make_model(tmp_path, "3d_lowres", cascade=True)
    names = [member.configuration.name for member in load_members(tmp_path, model)]
    assert names == ["3d_lowres", "3d_cascade_fullres"]


def test_a_cascade_of_every_case_takes_all_folds_of_its_first_stage(tmp_path: Path, make_model: Maker) -> None:
    model = make_model(tmp_path, "3d_lowres", cascade=True)
    member = model.members["3d_cascade_fullres"]
    weights = {"all": member.weights["0"]}
    everyone = member.model_copy(update={"weights": weights, "sha256": {"all": member.sha256["0"]}})
    model = model.model_copy(update={"members": {**model.members, "3d_cascade_fullres": everyone}})
    first, second = load_members(tmp_path, model, folds=("all",))
    assert (len(first.networks), len(second.networks)) == (2, 1)
    with pytest.raises(SpecError, match="'3d_lowres' has no fold 'all'"):
        load_members(tmp_path, model, configurations=("3d_lowres",), folds=("all",))


def test_unknown_members_are_refused(tmp_path: Path, make_model: Maker) -> None:
    model = make_model(tmp_path, "2d")
    with pytest.raises(SpecError, match="no configuration '3d_fulres'"):
        load_members(tmp_path, model, configurations=("3d_fulres",))
    with pytest.raises(SpecError, match="'2d' has no fold '7'"):
        load_members(tmp_path, model, folds=("7",))


def test_damaged_weights_are_named(tmp_path: Path, make_model: Maker) -> None:
    model = make_model(tmp_path, "2d")
    path = tmp_path / "weights" / "2d_fold_1.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"2d_fold_1\.safetensors are damaged"):
        load_members(tmp_path, model)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"2d_fold_1\.safetensors cannot be read"):
        load_members(tmp_path, model)


def test_weights_of_another_network_are_named(tmp_path: Path, make_model: Maker) -> None:
    model = make_model(tmp_path, "3d_fullres")
    wider = model.members["3d_fullres"].configuration
    topology = wider.topology.model_copy(update={"features": (4, 8)})
    member = model.members["3d_fullres"].model_copy(
        update={"configuration": wider.model_copy(update={"topology": topology})}
    )
    with pytest.raises(CheckpointError, match="are of another network than 'plain_unet'"):
        load_members(tmp_path, model.model_copy(update={"members": {"3d_fullres": member}}))


def test_weights_must_be_those_of_the_members(tmp_path: Path, make_model: Maker) -> None:
    model = make_model(tmp_path, "2d")
    with pytest.raises(SpecError, match=r"weights are for \[\], the model's members are \['2d'\]"):
        write_model_folder(tmp_path / "other", model, {})


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"is not a model folder \(it has no model\.json\)"):
        read_model(tmp_path)


def test_the_only_model_that_fits_is_chosen(tmp_path: Path, make_model: Maker) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(SpecError, match=r"no model in .*train one"):
        choose_model(workspace)
    first = workspace.model("Dataset001_A", "one")
    make_model(first, "2d")
    assert choose_model(workspace) == first
    with pytest.raises(SpecError, match=r"no model of Dataset002_B in .*: name one of -m .*Dataset001_A"):
        choose_model(workspace, dataset="Dataset002_B")
    second = workspace.model("Dataset001_A", "two")
    make_model(second, "2d")
    with pytest.raises(SpecError, match=r"2 models fit: name one of -m .*one, -m .*two"):
        choose_model(workspace, dataset="Dataset001_A")
    assert choose_model(workspace, method="two") == second
    assert choose_model(workspace, folder=first) == first
    with pytest.raises(SpecError, match="is not a model folder"):
        choose_model(workspace, folder=tmp_path)
