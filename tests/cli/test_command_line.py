"""From words typed to one function called, and from what it raises to an exit code."""

import logging
import signal
import subprocess
import sys

import pytest

from autoseg import cli
from autoseg.cli import main, run_command
from autoseg.cli.app import app, own_options
from autoseg.core.errors import AutosegError, Interrupted
from autoseg.datasets import converter_names, load_converter
from autoseg.datasets.submission import formats
from autoseg.stages import convert, evaluate, train

VERBS = ("convert", "fingerprint", "plan", "preprocess", "train", "predict", "evaluate", "plan-and-train", "check")


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Options that the train stage is called with; data sets are taken as they are named."""
    (tmp_path / "raw" / "Dataset004_Tiny").mkdir(parents=True)
    (tmp_path / "raw" / "Dataset004_Tiny" / "dataset.json").write_text("{}")
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path))
    calls = []
    monkeypatch.setattr(train, "run", lambda options, workspace: calls.append((options, workspace)))
    return calls


@pytest.mark.parametrize("folds", [["-f", "0", "1"], ["-f", "0,1"], ["-f", "0", "-f", "1"], ["--folds", "0", "1"]])
def test_lists_have_several_spellings(asked, folds):
    assert run_command(["train", "4", *folds]) == 0
    assert [options.fold for options, _ in asked] == ["0", "1"]


@pytest.mark.parametrize("name", ["4", "004", "Tiny", "Dataset004_Tiny"])
def test_data_sets_have_several_names(asked, name, tmp_path):
    assert run_command(["train", "-d", name]) == 0
    assert asked[0][0].dataset == "Dataset004_Tiny"
    assert asked[0][1].root == tmp_path


def test_settings_may_hold_commas(asked):
    assert run_command(["train", "4", "--set", "train.optimizer.betas=[0.9, 0.95]", "--set", "a.b=1"]) == 0
    assert asked[0][0].overrides == ("train.optimizer.betas=[0.9, 0.95]", "a.b=1")


def test_underscores_in_flags(asked):
    assert run_command(["train", "4", "--iterations_per_epoch", "7", "--time_budget", "20m"]) == 0
    assert asked[0][0].iterations_per_epoch == 7
    assert asked[0][0].time_budget_s == 1200


def test_a_named_workspace_beats_the_variable(asked, tmp_path):
    (tmp_path / "raw").rename(tmp_path / "moved")
    (tmp_path / "other").mkdir()
    (tmp_path / "moved").rename(tmp_path / "other" / "raw")
    assert run_command(["train", "4", "--workspace", str(tmp_path / "other")]) == 0
    assert asked[0][1].root == tmp_path / "other"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (AutosegError("the file a", "mend it"), 2, "autoseg: the file a: mend it"),
        (Interrupted(signal.SIGTERM, "stopped"), 75, "autoseg: stopped: run the same command again to go on"),
        (Interrupted(signal.SIGINT, "stopped"), 130, "autoseg: stopped: run the same command again to go on"),
        (KeyboardInterrupt(), 130, "autoseg: interrupted: run the same command again to go on"),
    ],
)
def test_errors_become_one_line_and_a_code(asked, monkeypatch, capsys, error, code, said):
    def fail(*_):
        raise error

    monkeypatch.setattr(train, "run", fail)
    assert run_command(["train", "4"]) == code
    assert capsys.readouterr().err.splitlines() == [said]


def test_a_bug_keeps_its_traceback(asked, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(train, "run", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run_command(["train", "4"])


@pytest.mark.parametrize("arguments", [["train"], ["train", "4", "--epoch", "3"], ["train", "4", "extra"], ["trian"]])
def test_what_is_not_understood_is_one_line(asked, capsys, arguments):
    assert run_command(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert asked == []


def test_converter_and_data_set_have_names_of_their_own(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(convert, "run", lambda options, _: asked.append(options))
    assert run_command(["convert", "msd", "folder", "--id", "7", "--name", "Liver", "--workspace", str(tmp_path)]) == 0
    assert (asked[0].name, str(asked[0].source), asked[0].id, asked[0].dataset_name) == ("msd", "folder", 7, "Liver")


@pytest.mark.parametrize(
    "written", [["--fix-spacing", "table"], ["--fix_spacing=table"], ["--option", "fix_spacing=table"]]
)
def test_options_of_a_converter_are_flags_or_pairs(monkeypatch, tmp_path, written):
    asked = []
    monkeypatch.setattr(convert, "run", lambda options, _: asked.append(options))
    assert run_command(["convert", "lits", "folder", *written, "--workspace", str(tmp_path)]) == 0
    assert asked[0].options == (("fix_spacing", "table"),)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--ids", "3"], "convert has no flag --ids: did you mean --id?"),
        (["--worker", "3"], "convert has no flag --worker: did you mean --workers?"),
        (["--sort", "ct"], "converter 'phantom', option 'sort' = 'ct': "),
        (["--size", "8x8x8", "--option", "size=9x9x9"], "the option size is given twice: give it once"),
    ],
)
def test_slips_in_flags_are_named(capsys, tmp_path, line, said):
    assert run_command(["convert", "phantom", *line, "--workspace", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"autoseg: {said}")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("convert", {name for one in converter_names() for name in load_converter(one).Options.model_fields}),
        ("submit", {name for one in formats.names() for name in formats.load(one).Options.model_fields}),
    ],
)
def test_no_option_is_taken_for_a_slip(command, options):
    flags = {name.replace("_", "-"): "1" for name in options}
    assert dict(own_options(flags, (), command=command)) == dict.fromkeys(options, "1")


def test_converters_are_heard(capsys, tmp_path):
    source = load_converter("merge").example(tmp_path)
    assert run_command(["convert", "merge", str(source), "--datasets", "1,2", "--workspace", str(source)]) == 0
    said = capsys.readouterr().err
    assert said.count("convert: first of Dataset002_Second is left out: it is one of Dataset001_First") == 1
    (log,) = (source / "logs").glob("*_convert_*.log")
    assert "is left out" in log.read_text()


def test_options_of_a_converter_are_pairs(capsys, tmp_path):
    assert run_command(["convert", "phantom", "--option", "cases", "--workspace", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "autoseg: --option cases: write it as key=value\n"


@pytest.mark.parametrize(
    ("started_as", "arguments", "expected"),
    [
        ("autoseg", ["train", "4"], ["train", "4"]),
        ("/usr/bin/autoseg_train", ["4"], ["train", "4"]),
        ("autoseg_plan_and_train", ["4"], ["plan_and_train", "4"]),
        ("autoseg_plan-and-train.exe", ["4"], ["plan_and_train", "4"]),
    ],
)
def test_the_name_it_was_started_with_is_the_verb(monkeypatch, started_as, arguments, expected):
    before = signal.getsignal(signal.SIGTERM)
    seen = []
    monkeypatch.setattr(sys, "argv", [started_as, *arguments])
    monkeypatch.setattr(cli, "run_command", lambda tokens: seen.append(tokens) or 3)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [expected]
    assert ended.value.code == 3


def test_termination_outside_of_training_is_resumable_too(capfd, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["autoseg_evaluate"])
    monkeypatch.setattr(cli, "run_command", lambda _: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 75
    assert capfd.readouterr().err == "autoseg: stopped: run the same command again to go on\n"


def test_every_verb_has_help_and_every_argument_a_sentence(capsys):
    for verb in VERBS:
        assert run_command([verb, "--help"]) == 0
    assert "Traceback" not in capsys.readouterr().out
    for verb in VERBS:
        arguments = app[verb].assemble_argument_collection(parse_docstring=True)
        for argument in arguments:
            assert argument.parameter.help or argument.name == "*", f"{verb} {argument.name}"
        spellings = [spelling for argument in arguments for spelling in argument.names if spelling != "*"]
        assert len(spellings) == len(set(spellings)), f"{verb}: two options of one name"


def test_version_and_module(capsys):
    assert run_command(["--version"]) == 0
    shown = capsys.readouterr().out.strip()
    done = subprocess.run([sys.executable, "-m", "autoseg", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == shown


def test_help_loads_no_torch():
    program = (
        "import sys; from autoseg.cli import run_command; run_command(['train', '--help']); print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1]
    assert "'autoseg.cli.learning'" in modules
    for slow in ("torch", "scipy", "SimpleITK", "nibabel", "matplotlib"):
        assert f"'{slow}'" not in modules


def test_a_log_file_is_kept_where_there_is_a_workspace(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "run", lambda *_: logging.getLogger("autoseg.x").debug("seen only in the file"))
    monkeypatch.setattr("autoseg.reporting.tables.print_report", lambda _: None)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    arguments = ["-i", str(tmp_path / "a"), "-r", str(tmp_path / "b"), "--workspace", str(tmp_path)]
    assert run_command(["evaluate", *arguments]) == 0
    (log,) = (tmp_path / "logs").iterdir()
    assert "seen only in the file" in log.read_text()
    assert run_command(["evaluate", *arguments[:4], "--workspace", str(tmp_path / "none")]) == 0
    assert not (tmp_path / "none").exists()


def test_only_training_runs_under_torchrun(asked, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert run_command(["plan_and_train", "4"]) == 2
    assert "torchrun is for 'autoseg train' alone, not for plan_and_train" in capsys.readouterr().err
    assert run_command(["train", "4"]) == 0
    assert len(asked) == 1


def test_of_several_processes_the_first_one_speaks(asked, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    for rank, level in (("0", logging.INFO), ("1", logging.WARNING)):
        monkeypatch.setenv("RANK", rank)
        assert run_command(["train", "4"]) == 0
        assert logging.getLogger("autoseg").handlers[0].level == level
