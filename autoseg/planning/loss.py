"""Whether the method's loss can judge the labels, said before any work, and what is to be known of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from autoseg.losses import caution, check_labels
from autoseg.specs.dataset import Dataset
from autoseg.specs.method import TrainChoices
from autoseg.specs.plan import Configuration, Decision

logger = logging.getLogger(__name__)


def check_loss(train: TrainChoices, dataset: Dataset, configurations: Sequence[Configuration]) -> tuple[Decision, ...]:
    """One decision, which is also logged as a warning, per configuration whose batch makes the loss another one.

    Args:
        train: Loss, and parts that a batch goes through the network in.
        dataset: Labels, where a configuration has none of its own.
        configurations: All of the plan.

    Raises:
        SpecError: The loss is not for the labels of one of them.
        RegistryError: Unknown loss or option.
    """
    loss = train.loss
    if loss is None:
        return ()  # chosen by the labels
    found = []
    for one in configurations:
        check_labels(loss.name, loss.options, one.label_space(dataset.labels, dataset.regions_class_order))
        samples = one.batch_size // min(train.accumulate, one.batch_size)
        line = caution(loss.name, loss.options, samples=samples)
        if line is not None:
            logger.warning("%s: %s", one.name, line)
            parts = f" in {train.accumulate} parts" if train.accumulate > 1 else ""
            value = f"{loss.name}, batch {one.batch_size}{parts}"
            found.append(Decision(topic=f"{one.name} loss", value=value, reason=f"warning: {line}"))
    return tuple(found)
