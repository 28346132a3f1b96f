"""Epochs judged by whole cases, and the weights that a run keeps."""

import pytest
from tiny import Silent, method, tiny_parts, tiny_run

from autoseg.io.weights import load_weights, weights_metadata
from autoseg.training.progress import Progress
from autoseg.training.trainer import BEST, FINAL, Trainer


def chosen(**train):
    made = method()
    return made.model_copy(update={"train": made.train.model_copy(update=train)})


def fit(folder, run, scores):
    """A run whose whole cases score these, epoch by epoch; returns what the observer saw and the network's states."""
    parts, seen, given = tiny_parts(run), [], iter(scores)

    def validate(network):
        seen.append((network is parts.state.network, network.training, network.deep_supervision))
        return {"ball": next(given)}

    observer = Silent()
    Trainer(run, folder, parts, observer, validate=validate if scores else None).fit()
    assert parts.state.network.training
    assert parts.state.network.deep_supervision
    return observer, seen


def test_whole_cases_take_the_place_of_patches(tmp_path):
    observer, seen = fit(tmp_path, tiny_run(epochs=3), [0.5, 0.9, 0.7])
    assert [log.dice for log in observer.epochs] == [{"ball": 0.5}, {"ball": 0.9}, {"ball": 0.7}]
    assert [log.is_best for log in observer.epochs] == [True, True, False], "no running mean"
    assert seen == [(True, False, False)] * 3, "evaluation mode, one output"
    assert weights_metadata(tmp_path / BEST) == {"epoch": "1"}


def test_an_epoch_without_a_score_is_none(tmp_path):
    observer, _ = fit(tmp_path, tiny_run(epochs=2), [None, 0.25])
    assert [(log.dice["ball"], log.mean_dice, log.is_best) for log in observer.epochs] == [
        (None, 0.0, True),
        (0.25, 0.25, True),
    ]


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_finished_run_predicts_with_what_the_method_keeps(tmp_path, keep):
    fit(tmp_path, tiny_run(chosen(keep=keep), epochs=2), [0.9, 0.1])
    best, final = load_weights(tmp_path / BEST), load_weights(tmp_path / FINAL)
    assert all((best[name] == final[name]).all() for name in best) == (keep == "best")


def test_patches_judge_where_nothing_else_is_said(tmp_path):
    run = tiny_run(epochs=2)
    observer, _ = fit(tmp_path, run, [])
    assert observer.epochs[1].average_dice == pytest.approx(
        0.9 * observer.epochs[0].mean_dice + 0.1 * observer.epochs[1].mean_dice
    )


def test_the_best_of_whole_cases_survives_a_restart():
    progress = Progress(("ball",))
    for dice, best in ((0.6, True), (0.5, False)):
        progress.record_update(1.0)
        log = progress.finish_epoch(
            iterations_per_epoch=1,
            learning_rate=0.1,
            validation_losses=[1.0],
            counts=[(0, 1, 1)],
            volume_dice={"ball": dice},
        )
        assert log.is_best is best
    assert Progress.from_values(progress.to_values()).best_dice == 0.6
