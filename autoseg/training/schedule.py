"""How long a run is and how its learning rate moves: pure arithmetic."""

from __future__ import annotations

import math
from typing import NamedTuple

from autoseg.core.errors import BudgetError
from autoseg.specs.method import OptimizerChoice, TrainChoices
from autoseg.specs.run import Schedule

SHORT_RUN_EPOCHS = 40
"""Epochs that a time budget is divided into: enough points for a curve, few enough that validating is cheap."""
SHORT_RUN_VALIDATION_SHARE = 0.04
"""Validation batches per training batch in a run with a time budget; a forward pass costs a third of a step."""
FORWARD_SHARE = 1 / 3
"""Cost of a validation batch in training steps: no backward pass, no augmentation."""
BUDGET_MARGIN = 0.97
"""Share of the budget that is planned for: the rest absorbs jitter and checkpoints."""
LEAST_UPDATES = 10
"""Of a time budget."""


def schedule_from_epochs(train: TrainChoices, *, epochs: int | None, iterations_per_epoch: int | None) -> Schedule:
    """Schedule of a run without a time budget.

    Args:
        train: The method's choices; where its epochs are passes, with their length (`autoseg.training.passes`).
        epochs: None takes the method's.
        iterations_per_epoch: None takes the method's.

    Raises:
        BudgetError: When a length is not positive.
    """
    chosen_epochs = train.epochs if epochs is None else epochs
    iterations = train.iterations_per_epoch if iterations_per_epoch is None else iterations_per_epoch
    if chosen_epochs < 1 or iterations < 1:
        raise BudgetError(f"{chosen_epochs} epochs of {iterations} iterations", "both must be at least 1")
    validation = min(train.validation_iterations, max(1, iterations // 5))
    if train.epoch == "pass" and train.validation == "patches" and iterations_per_epoch is None:
        validation = train.validation_iterations
    return Schedule(epochs=chosen_epochs, iterations_per_epoch=iterations, validation_iterations=validation)


class StepTime(NamedTuple):
    """Seconds of one update, loading and augmentation included.

    Attributes:
        mean_s: What an epoch takes, over its updates.
        least_s: What the machine can do; a neighbour's burst leaves it as it is.
    """

    mean_s: float
    least_s: float


def schedule_from_budget(*, seconds: float, step: StepTime, iterations_per_epoch: int | None) -> Schedule:
    """Schedule that fills a time budget at a measured step time.

    Args:
        seconds: Budget of the training loop.
        step: Measured; a budget is refused by its least, since the mean may have been measured in a bad moment.
        iterations_per_epoch: Updates per epoch, or None to divide the run into `SHORT_RUN_EPOCHS`.

    Raises:
        BudgetError: When not even ten updates fit.
    """
    at_best = _updates_within(seconds, step.least_s)
    if at_best < LEAST_UPDATES:
        raise BudgetError(
            f"a budget of {seconds:.0f} s holds {at_best} updates of {step.least_s:.1f} s",
            "give at least ten updates, or a smaller network or patch",
        )
    updates = max(LEAST_UPDATES, _updates_within(seconds, step.mean_s))
    iterations = iterations_per_epoch or max(5, min(250, updates // SHORT_RUN_EPOCHS))
    return Schedule(
        epochs=max(1, updates // iterations),
        iterations_per_epoch=iterations,
        validation_iterations=max(1, round(iterations * SHORT_RUN_VALIDATION_SHARE)),
        time_budget_s=seconds,
        seconds_per_step=step.mean_s,
    )


def _updates_within(seconds: float, seconds_per_step: float) -> int:
    return int(seconds * BUDGET_MARGIN / (seconds_per_step * (1 + SHORT_RUN_VALIDATION_SHARE * FORWARD_SHARE)))


def learning_rate(choice: OptimizerChoice, schedule: Schedule, update: int, *, scale: float = 1.0) -> float:
    """Learning rate of an update, 0-based.

    `poly` is (1 - t) ** 0.9 (DeepLab, Chen et al. 2018), `cosine` falls to zero as half a cosine (Loshchilov and
    Hutter 2017); t is the share of the updates (or epochs) done after a linear warm-up. `plateau` is `scale`
    times the chosen rate.
    """
    unit = schedule.iterations_per_epoch if choice.step_on == "epoch" else 1
    position, total = update // unit, schedule.updates // unit
    warmup = round(choice.warmup_share * total)
    if position < warmup:
        return choice.learning_rate * (position + 1) / warmup
    done = (position - warmup) / max(1, total - warmup)
    if choice.schedule == "poly":
        return choice.learning_rate * float((1 - done) ** 0.9)
    if choice.schedule == "cosine":
        return choice.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    return choice.learning_rate * (scale if choice.schedule == "plateau" else 1)


def average_decay(choice: OptimizerChoice, update: int) -> float:
    """Decay of the weight average at an update; it rises to the chosen one, so that the start is forgotten."""
    return min(choice.weight_average, (1 + update) / (10 + update))
