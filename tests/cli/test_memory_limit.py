"""--memory-limit where it means something, and one line where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import run_command
from autoseg.cli.app import Common
from autoseg.core.geometry import Geometry
from autoseg.devices.memory import memory_limit_bytes
from autoseg.io.images import write_image, write_label
from autoseg.specs.dataset import Dataset


def test_a_limit_is_an_amount_or_a_share() -> None:
    assert Common().memory_limit_bytes is None
    assert Common(memory_limit="1.5GB").memory_limit_bytes == 15 * 10**8
    assert Common(memory_limit="50%").memory_limit_bytes == memory_limit_bytes() // 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "-i", ".", "-r", "."], "evaluate keeps to no memory limit: --memory-limit is for fingerprint,"),
        (
            ["preprocess", "1", "--scheduler", "tcp://nowhere:1"],
            "--memory-limit is for this machine: limit the cluster",
        ),
    ],
)
def test_where_it_means_nothing_it_is_refused(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command([*arguments, "--memory-limit", "4GB", "--workspace", str(tmp_path)])
    assert code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["fingerprint", "plan_and_train"])
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("1MB", "case_1 needs about"),
        ("plenty", "'plenty' is not an amount of memory: write it like 4GB, 512MiB or 50%"),
    ],
)
def test_what_does_not_fit_ends_with_code_2(
    verb: str, limit: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw" / "Dataset001_Tiny"
    for name, edge in (("case_0", 8), ("case_1", 12)):
        geometry = Geometry((edge,) * 3, (1.0, 1.0, 1.0))
        write_image(raw / "imagesTr" / f"{name}_0000.nii", np.ones((1, edge, edge, edge), np.uint8), geometry)
        write_label(raw / "labelsTr" / f"{name}.nii", np.ones((edge,) * 3, np.uint8), geometry)
    spec = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "a": 1}, "numTraining": 2, "file_ending": ".nii"}
    Dataset.model_validate(spec).save(raw / "dataset.json")
    assert run_command([verb, "1", "--memory-limit", limit, "--workspace", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "prepared").exists()
