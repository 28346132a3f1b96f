"""The template that new converters are copied from must itself be a valid converter."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.core.errors import DatasetError
from autoseg.core.workspace import Workspace
from autoseg.io.raw import RawDataset
from autoseg.stages import convert
from dataset_conversion._template import converter


def test_the_template_converts_its_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = converter.example(tmp_path / "source")
    assert converter.recognises(source)
    monkeypatch.setattr(convert, "load_converter", lambda name: converter)
    folder = convert.run(convert.Options("template", source, workers=1), Workspace(tmp_path / "w"))
    assert len(RawDataset.open(folder).training) == 2
    (source / "masks" / "case_01.nii.gz").unlink()
    (source / "images" / "._junk.nii.gz").touch()
    with pytest.raises(DatasetError, match="has no mask: download it again"):
        converter.cases(source)
