"""Converters are found by name, with the nearest one for a mistyped name."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from autoseg.core.errors import RegistryError
from autoseg.datasets import converter_names, load_converter, recognising, registry
from autoseg.datasets.files import is_junk, link_or_copy


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of converters of our own, without installed entry points."""
    folder = tmp_path / "own_converters"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "PACKAGE", "own_converters")
    monkeypatch.setattr(registry, "GROUP", "no.such.group")
    registry._modules.cache_clear()
    yield folder
    registry._modules.cache_clear()
    for name in [name for name in sys.modules if name.startswith("own_converters")]:
        del sys.modules[name]


def test_names_and_loading() -> None:
    assert {"msd", "phantom"} <= set(converter_names())
    assert not [name for name in converter_names() if name.startswith("_")]
    assert load_converter("msd").spec().name == "msd"
    with pytest.raises(RegistryError, match="unknown converter 'fantom': did you mean 'phantom'"):
        load_converter("fantom")


def test_a_file_is_enough(package: Path) -> None:
    (package / "good_one.py").write_text("converter = 'stands in'")
    (package / "_private.py").touch()
    assert converter_names() == ("good_one",)
    assert load_converter("good-one") == "stands in"


def test_broken_files(package: Path) -> None:
    (package / "broken.py").write_text("1 / 0")
    (package / "empty.py").touch()
    with pytest.raises(RegistryError, match=r"own_converters/broken\.py does not import \(ZeroDivisionError"):
        load_converter("broken")
    with pytest.raises(RegistryError, match=r"own_converters/empty\.py has no 'converter': put an instance"):
        load_converter("empty")


def test_one_name_twice(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "twice.py").touch()
    entry = SimpleNamespace(name="twice", value="elsewhere.twice")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    with pytest.raises(RegistryError, match="both define the converter 'twice': rename one"):
        converter_names()


def test_recognising(tmp_path: Path) -> None:
    source = load_converter("msd").example(tmp_path)
    assert recognising(source) == ("msd",)


def test_link_or_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"voxels")
    link_or_copy(source, tmp_path / "sub" / "b")
    assert (tmp_path / "sub" / "b").stat().st_ino == source.stat().st_ino

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    link_or_copy(source, tmp_path / "sub" / "b")
    assert (tmp_path / "sub" / "b").read_bytes() == b"voxels"
    assert (tmp_path / "sub" / "b").stat().st_ino != source.stat().st_ino


def test_junk() -> None:
    assert [is_junk(Path(name)) for name in ("._a.nii.gz", "__MACOSX", ".DS_Store", "a.nii.gz")] == [True] * 3 + [False]
