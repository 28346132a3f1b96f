"""The state machine of a run, without any file or tensor."""

import json

import pytest

from autoseg.specs.method import PlateauChoices
from autoseg.training.progress import SILENT_EPOCHS, Progress


def finish(progress, counts, losses=(1.0,)):
    for loss in losses:
        progress.record_update(loss)
    return progress.finish_epoch(
        iterations_per_epoch=len(losses), learning_rate=0.1, validation_losses=[0.5, 0.7], counts=counts
    )


def test_epoch_averages_losses_and_pools_dice():
    log = finish(Progress(("liver", "tumour")), [(8, 2, 2), (0, 0, 0)], losses=(1.0, 3.0))
    assert (log.epoch, log.update, log.train_loss) == (0, 2, 2.0)
    assert log.validation_loss == pytest.approx(0.6)
    assert log.dice == {"liver": 0.8, "tumour": None}
    assert log.mean_dice == 0.8


def test_running_mean_decides_what_is_best():
    progress = Progress(("liver",))
    first, second, third = (finish(progress, [(count, 10 - count, 0)]) for count in (5, 0, 10))
    assert (first.is_best, second.is_best, third.is_best) == (True, False, False)
    assert second.average_dice == pytest.approx(0.9 * first.mean_dice)


def test_a_class_never_found_is_reported_until_it_is_found():
    progress = Progress(("tumour",))
    logs = [finish(progress, [(0, 0, 7)]) for _ in range(SILENT_EPOCHS)]
    assert [log.silent for log in logs] == [()] * (SILENT_EPOCHS - 1) + [("tumour",)]
    assert finish(progress, [(0, 3, 0)]).silent == ("tumour",)  # not in these patches: nothing learned about it
    assert finish(progress, [(1, 0, 6)]).silent == ()


def test_values_survive_json_exactly():
    progress = Progress(("a", "b"))
    finish(progress, [(1, 2, 3), (0, 0, 1)])
    progress.record_update(0.1 + 0.2)
    progress.plateau.record(0.1 + 0.2, PlateauChoices(), learning_rate=0.1)
    assert progress.plateau.best == 0.1 + 0.2
    assert Progress.from_values(json.loads(json.dumps(progress.to_values()))) == progress
