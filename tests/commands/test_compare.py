"""compare: what it trains, what it writes, and how it goes on."""

from __future__ import annotations

import csv
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest

from autoseg import pipeline
from autoseg.commands import compare as command
from autoseg.commands.compare import Options, run
from autoseg.core.errors import AutosegError, DatasetError, Interrupted, SpecError, StorageError
from autoseg.core.workspace import Workspace
from autoseg.reporting.run_costs import Costs
from autoseg.specs.report import CaseScores, Report, Score

WHAT = Options("Dataset001_X", methods=("autoseg", "nnunet"))


def scores(*dice):
    return tuple(
        CaseScores(id=f"c{index}", regions={"liver": {"dice": Score(value=value)}}) for index, value in enumerate(dice)
    )


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """A pipeline that only notes what it is asked for; `fail[method]` is raised instead."""
    asked, fail = [], {}

    def prepare(options, workspace):
        if options.method in fail:
            raise fail[options.method]
        return SimpleNamespace(planned=SimpleNamespace(method=options.method), configurations=("2d", "3d_fullres"))

    def train_folds(options, planned, configuration, workspace):
        asked.append((planned.method, options.train_fraction, configuration, options.folds))
        if (planned.method, configuration) in fail:
            raise fail[planned.method, configuration]
        return (tmp_path / f"{planned.method} {options.train_fraction}",)

    monkeypatch.setattr(pipeline, "prepare", prepare)
    monkeypatch.setattr(pipeline, "train_folds", train_folds)
    monkeypatch.setattr(command, "_held_out", lambda folders: scores(0.5, 0.7))
    monkeypatch.setattr(command, "read_costs", lambda weights, logs: Costs(1000, 0.5, 2**30))
    return SimpleNamespace(asked=asked, fail=fail, workspace=Workspace(tmp_path / "workspace"))


def table(workspace):
    with (workspace.root / "comparisons" / WHAT.dataset / "comparison.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_method_configuration_and_share_is_trained(trained, capsys):
    found = run(replace(WHAT, fractions=(0.5, 1.0), folds=("0",)), trained.workspace)
    assert trained.asked == [
        (method, fraction, configuration, ("0",))
        for method in ("autoseg", "nnunet")
        for fraction in (0.5, 1.0)
        for configuration in ("2d", "3d_fullres")
    ]
    assert len(found.rows) == 8
    folder = trained.workspace.root / "comparisons" / WHAT.dataset
    assert {path.name for path in folder.iterdir()} == {"comparison.csv", "comparison.md", "comparison.png"}
    assert "nnunet 3d_fullres, 50 % of the cases" in capsys.readouterr().out


def test_settings_reach_the_training_and_the_folder_is_chosen(trained, tmp_path, monkeypatch):
    seen = []
    prepare = pipeline.prepare
    monkeypatch.setattr(
        pipeline, "prepare", lambda options, workspace: (seen.append(options), prepare(options, None))[1]
    )
    chosen = replace(WHAT, epochs=3, seed=7, device="cpu", configurations=("2d",), output=tmp_path / "here")
    run(chosen, trained.workspace)
    assert [(one.method, one.epochs, one.seed, one.configurations) for one in seen] == [
        ("autoseg", 3, 7, ("2d",)),
        ("nnunet", 3, 7, ("2d",)),
    ]
    assert (tmp_path / "here" / "comparison.md").is_file()


@pytest.mark.parametrize(
    ("where", "error", "said"),
    [
        ("nnunet", SpecError("no plan", "make one"), "no plan: make one"),
        (("nnunet", "2d"), RuntimeError("out of memory\nat line 1"), "RuntimeError: out of memory"),
    ],
)
def test_what_fails_is_a_row_with_its_reason(trained, where, error, said):
    trained.fail[where] = error
    found = run(WHAT, trained.workspace)
    problems = [row.entry.problem for row in found.rows if row.entry.problem]
    assert problems == [said]
    assert [row["problem"] for row in table(trained.workspace) if row["problem"]] == [said]
    assert [row.entry.method for row in found.rows if not row.entry.problem][:2] == ["autoseg", "autoseg"]


@pytest.mark.parametrize("error", [Interrupted(signal.SIGINT, "stopped"), StorageError("the disk is full", "tidy up")])
def test_what_no_other_method_survives_ends_it(trained, error):
    trained.fail["autoseg", "2d"] = error
    with pytest.raises(type(error), match=error.problem):
        run(WHAT, trained.workspace)
    assert len(trained.asked) == 1


def test_when_all_fail_there_is_nothing_to_compare(trained):
    trained.fail.update({"autoseg": AutosegError("one reason"), "nnunet": AutosegError("another")})
    with pytest.raises(DatasetError, match=r"nothing to compare .*autoseg: one reason; nnunet: another"):
        run(WHAT, trained.workspace)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"methods": ()}, "nothing to compare is named: give --methods"),
        ({"methods": ("autoseg", "nnunett")}, "no method 'nnunett'"),
        ({"fractions": (0.5, 2.0)}, "the training fraction is 2"),
        ({"folds": ("0", "all")}, "the fold 'all' holds no case out"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(trained, change, said):
    with pytest.raises(SpecError, match=said):
        run(replace(WHAT, **change), trained.workspace)
    assert trained.asked == []


def test_cases_that_were_learned_from_are_not_scored(tmp_path, monkeypatch):
    held_out = {"fold_0": ("c0",), "fold_1": ("c1", "c0")}
    for name in held_out:
        Report(protocol="autoseg", definitions={}, cases=scores(0.1, 0.2, 0.3), summary={}).save(
            tmp_path / name / "validation" / "report.json"
        )
    monkeypatch.setattr(
        command.Run,
        "load",
        lambda path: SimpleNamespace(train_cases={"c0", "c1", "c2"} - set(held_out[path.parent.name])),
    )
    found = command._held_out([tmp_path / name for name in held_out])
    assert [case.id for case in found] == ["c0", "c1"]
    held_out["fold_0"] = ()
    with pytest.raises(DatasetError, match="held no case out: compare on a data set with more cases"):
        command._held_out([tmp_path / "fold_0"])
