"""Method files: built-in, extended, overridden."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.core.errors import SpecError
from autoseg.planning.methods import load_method, method_names


@pytest.mark.parametrize("name", method_names())
def test_built_in_methods_load_and_are_named_after_their_file(name: str) -> None:
    assert load_method(name).name == name


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean 'nnunet'"):
        load_method("nnunett")


def test_file_extends_built_in(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "nnunet"\n[plan]\nbase_features = 8\n[train.optimizer]\nmomentum = 0.5\n')
    method, parent = load_method(path), load_method("nnunet")
    assert method.name == "mine"
    assert method.plan.base_features == 8
    assert method.plan.reference_elements == parent.plan.reference_elements
    assert method.train.optimizer.momentum == 0.5
    assert method.train.optimizer.name == parent.train.optimizer.name


def test_extends_is_relative_to_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.toml").write_text('extends = "nnunet"\n[plan]\nbase_features = 8\n')
    (tmp_path / "sub" / "child.toml").write_text('extends = "../base.toml"\nname = "child"\n')
    assert load_method(tmp_path / "sub" / "child.toml").plan.base_features == 8


def test_the_model_of_a_region_has_a_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later commands use it from other folders."""
    (tmp_path / "methods").mkdir()
    path = tmp_path / "methods" / "mine.toml"
    path.write_text('extends = "liver_tumor_cascade"\n[plan.region]\nmodel = "../models/liver"\n')
    monkeypatch.chdir(tmp_path / "methods")
    whole = str((tmp_path / "models" / "liver").resolve())
    for method in (load_method("mine.toml"), load_method(path)):
        assert method.plan.region is not None
        assert method.plan.region.model == whole
    named = load_method("liver_tumor_cascade", ("plan.region.model=../models/liver",)).plan.region
    assert named is not None
    assert named.model == whole


def test_another_component_drops_the_options_of_the_first(tmp_path: Path) -> None:
    base = tmp_path / "base.toml"
    base.write_text('extends = "nnunet"\n[plan]\nnetwork = { name = "plain_unet", options = { dropout = 0.1 } }\n')
    child = tmp_path / "child.toml"
    child.write_text('extends = "base.toml"\n[plan]\nnetwork = { name = "residual_encoder_unet" }\n')
    assert load_method(child).plan.network.options == {}
    assert load_method(base, ["plan.network.options.norm=batch"]).plan.network.options == {
        "dropout": 0.1,
        "norm": "batch",
    }


def test_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    with pytest.raises(SpecError, match="in a circle"):
        load_method(tmp_path / "a.toml")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot read"):
        load_method(tmp_path / "none.toml")


def test_overrides_are_toml_or_bare_words() -> None:
    method = load_method(
        "nnunet",
        [
            "plan.base-features=16",
            "plan.orientation=canonical",
            "plan.overrides.3d_fullres.spacing_mm=[1, 1, 1]",
            "plan.overrides.3d_fullres.batch_size=4",
            "train.optimizer.learning_rate=1e-3",
        ],
    )
    assert method.plan.base_features == 16
    assert method.plan.orientation == "canonical"
    assert method.plan.overrides == {"3d_fullres": {"spacing_mm": (1.0, 1.0, 1.0), "batch_size": (4.0,)}}
    assert method.train.optimizer.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("plan.base_features", "write section.key=value"),
        ("plan..x=1", "write section.key=value"),
        ("plan.base_features.x=1", "'base_features' is not a section"),
        ("plan.base_featurs=1", "did you mean 'base_features'"),
        ("plan.base_features=many", "valid integer"),
    ],
)
def test_bad_overrides_are_refused(override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_method("nnunet", [override])
