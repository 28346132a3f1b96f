"""Components are found by file name; mistakes name the file or the nearest name."""

import importlib
import sys

import pytest

from autoseg.core.errors import RegistryError
from autoseg.core.registry import Registry, nearest

COMPONENT = """
from pydantic import BaseModel, ConfigDict
class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    weight: float = 1.0
def build(options, *, scale):
    return options.weight * scale
"""


@pytest.fixture
def registry(tmp_path, monkeypatch):
    package = tmp_path / "parts_for_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "dice.py").write_text(COMPONENT)
    (package / "_private.py").write_text("")
    (package / "broken.py").write_text("import nothing_of_that_name")
    (package / "empty.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry("parts_for_test", "loss")
    for name in [name for name in sys.modules if name.startswith("parts_for_test")]:
        del sys.modules[name]


def test_public_files_are_components(registry):
    assert registry.names() == ("broken", "dice", "empty")
    assert registry.build("dice", {"weight": 2}, scale=3) == 6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dise", "did you mean 'dice'"),
        ("broken", r"broken\.py does not import"),
        ("empty", r"empty\.py: define 'Options'"),
    ],
)
def test_unusable_components_are_named(registry, name, message):
    with pytest.raises(RegistryError, match=message):
        registry.load(name)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"wieght": 1}, "did you mean 'weight'"), ({"weight": "heavy"}, "option 'weight' = 'heavy'")],
)
def test_wrong_options_are_named(registry, values, message):
    with pytest.raises(RegistryError, match=message):
        registry.options("dice", values)


def test_two_files_of_one_name_are_refused(registry, tmp_path):
    other = tmp_path / "second"
    other.mkdir()
    (other / "dice.py").write_text(COMPONENT)
    importlib.import_module("parts_for_test").__path__.append(str(other))
    with pytest.raises(RegistryError, match=r"two files .* define the loss 'dice'"):
        registry.names()


def test_nearest_lists_all_when_nothing_is_close():
    assert nearest("zzz", ["b", "a"]) == "choose from a, b"
