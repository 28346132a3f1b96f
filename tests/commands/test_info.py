"""info: what it tells, and that it needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from autoseg import __version__
from autoseg.commands import info
from autoseg.core.workspace import Workspace
from autoseg.datasets.registry import converter_names
from autoseg.devices.budget import DeviceBudget


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


def lines(text):
    return dict(line.split(maxsplit=1) for line in text.splitlines())


def test_it_tells_versions_device_memory_and_methods(workspace, capsys):
    text = info.run(info.Options(device="cpu"), workspace)
    told = lines(text)
    assert told["autoseg"].startswith(__version__)
    assert "torch 2." in told["packages"]
    assert told["device"].startswith("cpu: ")
    assert "GB free" in told["memory"]
    assert "method      nnunet: " in text
    assert "not there yet" in told["workspace"]
    assert capsys.readouterr().out.strip() == text.strip()


def test_it_lists_what_the_workspace_holds(workspace):
    workspace.raw_dataset("Dataset004_Hippocampus").mkdir(parents=True)
    (workspace.raw_dataset("Dataset004_Hippocampus") / "dataset.json").write_text("{}")
    model = workspace.model("Dataset004_Hippocampus", "autoseg")
    model.mkdir(parents=True)
    (model / "model.json").write_text("{}")
    text = info.run(info.Options(device="cpu"), workspace)
    assert "data sets   Dataset004_Hippocampus" in text
    assert "models      Dataset004_Hippocampus/autoseg" in text


def test_it_lists_converters_with_needs_and_licence(workspace):
    text = info.run(info.Options(datasets=True), workspace)
    for name in converter_names():
        assert f"{name}: " in text
    assert text.count("licence") == len(converter_names())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"avx512_bf16", "avx2"}, "bfloat16 (avx512_bf16)"), ({"avx2"}, "float32 (no"), (set(), "measured when")],
)
def test_precision_follows_the_processor(monkeypatch, flags, expected):
    monkeypatch.setattr(info, "cpu_flags", lambda: frozenset(flags))
    assert info._precision(DeviceBudget("cpu")).startswith(expected)
    assert "float16" in info._precision(DeviceBudget("gpu"))


def test_a_package_that_is_missing_is_said_to_be():
    assert info._version("no-such-package-anywhere") == "missing"


def test_neither_torch_nor_scipy_is_loaded(tmp_path):
    code = (
        "import sys; from autoseg.cli import run_command; "
        f"code = run_command(['info', '--workspace', {str(tmp_path)!r}]); "
        "sys.exit(code or 'torch' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
