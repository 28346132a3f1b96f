"""Submission formats are found by name, also those that a converter brings."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from autoseg.core.errors import RegistryError
from autoseg.datasets import submission
from autoseg.datasets.formats.msd import MedicalDecathlon
from autoseg.datasets.submission import format_names, load_format


def test_built_in_formats() -> None:
    assert "msd" in format_names()
    assert load_format("msd", {"task": "Task04_Hippocampus"}) == MedicalDecathlon("Task04_Hippocampus")
    with pytest.raises(RegistryError, match="did you mean 'msd'"):
        load_format("mds")
    with pytest.raises(RegistryError, match="option 'task'"):
        load_format("msd", {"task": "4"})


def test_a_converter_brings_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    brought = MedicalDecathlon("Task99_Mine")
    converter = SimpleNamespace(spec=lambda: SimpleNamespace(submission="my_challenge"))
    module = SimpleNamespace(converter=converter, submission=lambda options: brought)
    monkeypatch.setattr(submission, "converter_names", lambda: ("my_challenge", "other"))
    plain = SimpleNamespace(spec=lambda: SimpleNamespace(submission=""))
    monkeypatch.setattr(submission, "load_converter", lambda name: converter if name == "my_challenge" else plain)
    monkeypatch.setattr(submission, "converter_module", lambda name: module if name == "my_challenge" else plain)
    assert "my_challenge" in format_names()
    assert "other" not in format_names()
    assert load_format("my-challenge") is brought
    with pytest.raises(RegistryError, match="unknown submission format 'other'"):
        load_format("other")


def test_the_decathlon_wants_ten_tasks() -> None:
    form = MedicalDecathlon("Task04_Hippocampus")
    assert form.belongs("Task03_Liver/liver_140.nii.gz")
    for path in ("Task04_Hippocampus/x.nii.gz", "Task03_Liver/x.nii", "Task03_Liver/a/x.nii.gz", "Task11_New/x.nii.gz"):
        assert not form.belongs(path)
    everything = [f"Task{number:02d}_x/a.nii.gz" for number in range(1, 11)]
    assert "absent here: Task01_BrainTumour" in form.notes(everything)[0]
    from autoseg.datasets.formats.msd import TASKS

    assert form.notes([f"{task}/a.nii.gz" for task in TASKS]) == ()
