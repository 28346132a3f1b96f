"""The rules of the house that no linter knows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.pipeline import STAGES

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("autoseg/**/*.py"), *ROOT.glob("dataset_conversion/*.py"), *ROOT.glob("benchmarks/*.py")])


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def test_the_stages_are_exactly_the_ten_verbs():
    files = {path.stem for path in (ROOT / "autoseg" / "stages").glob("*.py")} - {"__init__"}
    assert files == {stage.name for stage in STAGES}
    assert len(STAGES) == 10


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_files_and_functions_are_short(path):
    text = path.read_text()
    limit = 200 if path.parent.name == "stages" else 400
    assert len(text.splitlines()) <= limit
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) or ""
            assert node.end_lineno - node.lineno + 1 - len(documented.splitlines()) <= 62, node.name
    assert path.stem not in ("utils", "helpers", "common", "misc")


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_every_file_says_what_it_is_for(path):
    documented = ast.get_docstring(ast.parse(path.read_text()))
    assert documented, "no module docstring"
    assert len(documented.splitlines()[0]) <= 118


@pytest.mark.parametrize(
    "module",
    [
        "autoseg",
        "autoseg.cli",
        "autoseg.pipeline",
        "autoseg.stages.convert",
        "autoseg.stages.fingerprint",
        "autoseg.stages.plan",
        "autoseg.stages.preprocess",
        "autoseg.stages.evaluate",
    ],
)
def test_what_neither_trains_nor_predicts_does_not_load_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'skimage' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_unpickles_or_evaluates():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), path
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert "pickle" not in modules, path
