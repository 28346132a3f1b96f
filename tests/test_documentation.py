"""What the documentation says is true: commands parse, snippets run, links lead somewhere, the reference is current."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from autoseg.cli import app
from autoseg.cli.app import CTRL_C, DONE, QUARANTINED, RESUMABLE, USER_ERROR
from autoseg.pipeline import STAGES
from autoseg.planning.methods import load_method, read_method
from autoseg.specs.report import CaseScores, Report, Score

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("documentation/**/*.md")])
BLOCK = re.compile(r"(?:<!-- (.+?) -->\n)?```(\w*)\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
VERBS = sorted(name for name in app if not name.startswith("-"))


def blocks(language):
    """(page, marker, text) of every block of a language."""
    found = []
    for page in PAGES:
        for marker, kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            if kind == language:
                found.append(pytest.param(marker, text, id=f"{page.relative_to(ROOT)}:{len(found)}"))
    return found


def command_lines():
    """Every shell line of the pages, without comments."""
    found = []
    for page in PAGES:
        for _, kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            if kind == "sh":
                lines = [shlex.split(line, comments=True) for line in text.splitlines()]
                found += [pytest.param(words, id=" ".join(words)) for words in lines if words]
    return found


@pytest.mark.parametrize("words", command_lines())
def test_every_command_line_parses(words):
    program, *arguments = words
    if program.startswith("scripts/"):
        assert (ROOT / program).is_file()
    elif program == "python":
        assert arguments[:3] == ["-m", "pip", "install"]
    else:
        assert program == "autoseg" or program.startswith("autoseg_"), words
        verb = program.removeprefix("autoseg").removeprefix("_")
        tokens = [verb, *arguments] if verb else arguments
        tokens[0] = tokens[0].replace("_", "-")
        _, bound, unused = app.parse_args(tokens, exit_on_error=False, print_error=False)
        assert not unused
        assert tokens[0] in VERBS
        for setting in bound.arguments.get("overrides", ()):
            load_method("autoseg", (setting,))


def test_every_verb_is_also_a_command_of_its_own():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["scripts"]) == {"autoseg", *(f"autoseg_{verb.replace('-', '_')}" for verb in VERBS)}


def test_pages_have_command_lines_to_check():
    assert len(command_lines()) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_running_text_exist(page):
    named = re.findall(r"`autoseg[ _]([a-z][a-z_-]+)", page.read_text(encoding="utf-8"))
    assert {verb.replace("_", "-") for verb in named if verb != "workspace"} <= {*VERBS, "demo"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_every_page_is_reached_from_the_index():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not link.startswith("http")]
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links]
    assert set(PAGES) <= reached


@pytest.mark.parametrize(("marker", "text"), blocks("python"))
def test_python_snippets_compile_and_run_where_marked(marker, text, tmp_path, monkeypatch, capsys):
    code = compile(text, "snippet", "exec")
    if marker.startswith("run"):
        monkeypatch.chdir(tmp_path)
        scores = CaseScores(id="a", regions={"liver": {"dice": Score(value=0.5)}})
        Report(protocol="autoseg", definitions={}, cases=(scores,), summary={}).save(tmp_path / "report.json")
        exec(code, {})  # noqa: S102 - the pages are ours
        assert "liver" in capsys.readouterr().out


@pytest.mark.parametrize(("marker", "text"), blocks("toml"))
def test_method_snippets_are_valid(marker, text, tmp_path):
    values = tomllib.loads(text)
    if "project" in values:
        return
    path = tmp_path / "mine.toml"
    path.write_text(text if "extends" in values else f'extends = "autoseg"\n{text}')
    # A page on adding a component names its own, which does not exist.
    load = read_method if marker == "made up" else load_method
    assert load(path).name == values.get("name", "mine")


def test_the_readme_lists_the_stages_and_the_exit_codes():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for stage in STAGES:
        assert f"| `{stage.name}` | {stage.reads} | {stage.writes} |" in text
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == [
        str(code) for code in (DONE, 1, USER_ERROR, QUARANTINED, RESUMABLE, CTRL_C)
    ]


def test_the_stages_are_explained():
    pages = {page.stem for page in (ROOT / "documentation" / "explanation").glob("*.md")}
    assert pages >= {"convert", "fingerprint", "plan", "preprocess", "train", "predict", "evaluate"}


def test_the_reference_is_current():
    loader = importlib.machinery.SourceFileLoader("make_reference", str(ROOT / "scripts" / "make_reference"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    stale = [name for name, text in module.pages().items() if module._text(module.FOLDER / name) != text]
    assert not stale, "run scripts/make_reference"
    assert {path.name for path in module.FOLDER.glob("*.md")} == set(module.pages())
