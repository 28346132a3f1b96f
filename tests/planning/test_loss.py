"""A loss that cannot judge the labels is refused when the plan is made; what is to be known of one is said."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.cli import run_command
from autoseg.core.errors import SpecError
from autoseg.core.workspace import Workspace
from autoseg.losses import losses
from autoseg.planning.methods import load_method
from autoseg.planning.planner import make_plan
from autoseg.specs.dataset import Dataset
from autoseg.specs.fingerprint import Fingerprint
from autoseg.specs.plan import Plan

Make = Callable[..., object]
COMBO = "train.loss={ name = 'combo', options = { terms = [{ name = 'dice' }, { name = 'cross_entropy' }] } }"
GODC_IN_COMBO = "train.loss={ name = 'combo', options = { terms = [{ name = 'bce' }, { name = 'godc' }] } }"
BATCH = "plan.overrides.3d_fullres.batch_size="


@pytest.fixture
def planned(make_fingerprint: Make, make_dataset: Make) -> Callable[..., Plan]:
    """`planned(*overrides, regions=False)`."""

    def plan(*overrides: str, regions: bool = False) -> Plan:
        dataset: Dataset = make_dataset()
        if regions:
            dataset = as_regions(dataset)
        fingerprint: Fingerprint = make_fingerprint()
        return make_plan(dataset, fingerprint, load_method("nnunet", overrides))

    return plan


def as_regions(dataset: Dataset) -> Dataset:
    labels = {"background": 0, "whole": (1, 2), "core": 2}
    return dataset.model_copy(update={"labels": labels, "regions_class_order": (1, 2)})


@pytest.mark.parametrize(
    ("loss", "cure"),
    [
        ("train.loss.name=cross_entropy", "loss 'cross_entropy' is for exclusive classes.*choose 'bce'"),
        ("train.loss.name=dice_ce", "loss 'dice_ce' is for exclusive classes.*choose 'dice_bce'"),
        (COMBO, "loss 'cross_entropy' is for exclusive classes.*choose 'bce'"),
    ],
)
def test_losses_of_classes_are_refused_for_regions(planned: Callable[..., Plan], loss: str, cure: str) -> None:
    with pytest.raises(SpecError, match=cure):
        planned(loss, regions=True)
    assert planned(loss).configurations


def test_losses_of_regions_are_refused_for_classes(planned: Callable[..., Plan]) -> None:
    with pytest.raises(SpecError, match=r"loss 'dice_bce' is for regions.*choose 'dice_ce'"):
        planned("train.loss.name=dice_bce")
    assert planned("train.loss.name=dice_bce", regions=True).configurations


def test_the_other_losses_take_all_labels(planned: Callable[..., Plan]) -> None:
    for name in set(losses.names()) - {"cross_entropy", "dice_ce", "dice_bce", "combo"}:
        for regions in (False, True):
            assert planned(f"train.loss.name={name}", regions=regions).configurations, name


@pytest.mark.parametrize(
    ("loss", "settings", "said"),
    [
        ("train.loss.name=godc", (f"{BATCH}1",), "godc, batch 1"),
        ("train.loss.name=godc", (f"{BATCH}4", "train.accumulate=4"), "godc, batch 4 in 4 parts"),
        (GODC_IN_COMBO, (f"{BATCH}1",), "combo, batch 1"),
        ("train.loss.name=godc", (f"{BATCH}4", "train.accumulate=2"), None),
        ("train.loss.name=dice", (f"{BATCH}1",), None),
    ],
)
def test_godc_on_single_samples_is_said_to_be_dice(
    planned: Callable[..., Plan],
    caplog: pytest.LogCaptureFixture,
    loss: str,
    settings: tuple[str, ...],
    said: str | None,
) -> None:
    with caplog.at_level(logging.WARNING):
        plan = planned(loss, *settings, 'plan.configurations=["3d_fullres"]')
    found = [one for one in plan.decisions if one.topic == "3d_fullres loss"]
    assert [one.value for one in found] == ([] if said is None else [said])
    assert ("one at a time, it is plain Dice" in caplog.text) == (said is not None)
    assert all("plain Dice" in one.reason for one in found)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("--set", "train.loss.name=cross_entropy"), "choose 'bce'"),
        (("--set", "train.loss.name=cross_entropi"), "did you mean 'cross_entropy'?"),
        (("--set", "train.loss={ name = 'godc', options = { normalise = 'l2' } }"), "did you mean 'normalize'?"),
        (("--method", "unet2d_ircadb"), "channel 'MRI' is not CT"),
        (("--method", "unet3d_advanced_combo"), "channel 'MRI' is not CT"),
    ],
)
def test_the_command_line_says_it_in_one_line(
    make_fingerprint: Make,
    make_dataset: Make,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: tuple[str, ...],
    said: str,
) -> None:
    workspace = Workspace(tmp_path)
    dataset: Dataset = make_dataset()
    as_regions(dataset).save(workspace.raw_dataset("Dataset001_X") / "dataset.json")
    fingerprint: Fingerprint = make_fingerprint()
    fingerprint.save(workspace.fingerprint("Dataset001_X"))
    assert run_command(["plan", "1", *line, "--workspace", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert len(message.strip().splitlines()) == 1
    assert not workspace.plan("Dataset001_X", "autoseg").exists()
