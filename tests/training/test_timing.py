"""What one update takes: bounded in time, and its least beside its mean."""

from tiny import tiny_parts, tiny_run

from autoseg.training import timing
from autoseg.training.timing import measure_step


def test_slow_steps_are_measured_for_a_minute_at_most(monkeypatch):
    taken = []
    monkeypatch.setattr(timing, "MEASURED_S", 0.0)
    monkeypatch.setattr(timing, "gradient_step", lambda *_, **__: taken.append(1))
    assert measure_step(tiny_parts(tiny_run()), clip=1.0).mean_s >= 0
    assert len(taken) == 2, "one to warm up and one to measure"


def test_a_step_is_measured():
    mean, least = measure_step(tiny_parts(tiny_run()), clip=1.0)
    assert 0 < least < mean < 30
