"""What one update takes: bounded in time, and its least beside its mean."""

import pytest
import torch
from tiny import tiny_parts, tiny_run

from autoseg.core.labels import LabelSpace
from autoseg.training import timing
from autoseg.training.assembly import Recipe
from autoseg.training.distributed import ALONE, Share
from autoseg.training.schedule import StepTime
from autoseg.training.timing import measure_step


def test_slow_steps_are_measured_for_a_minute_at_most(monkeypatch):
    taken = []
    monkeypatch.setattr(timing, "MEASURED_S", 0.0)
    monkeypatch.setattr(timing, "gradient_step", lambda *_, **__: taken.append(1))
    assert measure_step(tiny_parts(tiny_run()), clip=1.0).mean_s >= 0
    assert len(taken) == 2, "one to warm up and one to measure"


@pytest.mark.parametrize(("world", "share"), [(1, 5), (2, 3), (3, 2), (5, 1)])
def test_one_process_measures_the_largest_share(monkeypatch, world, share):
    asked = []
    run = tiny_run()
    monkeypatch.setattr(timing, "measure_step", lambda *_, **__: StepTime(2.0, 1.0))
    monkeypatch.setattr(timing, "assemble", lambda recipe, **_: asked.append(recipe))
    configuration = run.configuration.model_copy(update={"batch_size": 5})
    recipe = Recipe(
        configuration=configuration,
        train=run.method.train,
        space=LabelSpace.parse(run.labels, None),
        channels=1,
        mirror_axes=(),
        seed=0,
        device=torch.device("cpu"),
        precision=torch.float32,
        share=Share(0, world),
    )
    assert timing.estimate_step(recipe, train_cases=(), val_cases=()) == StepTime(2.0, 1.0)
    assert (asked[0].configuration.batch_size, asked[0].share) == (share, ALONE)


def test_a_step_is_measured():
    mean, least = measure_step(tiny_parts(tiny_run()), clip=1.0)
    assert 0 < least < mean < 30
