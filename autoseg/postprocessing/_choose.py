"""All that is tried on held-out masks: nnU-Net v2's rule, and the steps and the veto that go beyond it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from autoseg.core.errors import AutosegError
from autoseg.core.labels import LabelSpace
from autoseg.io.label_files import LabelPair
from autoseg.metrics.dice import RegionDice
from autoseg.metrics.protocols import load_protocol
from autoseg.postprocessing._candidates import candidates
from autoseg.postprocessing._guard import Guard, ProtocolGuard, no_guard
from autoseg.postprocessing._measure import Steps, measure_cases, measure_sequences
from autoseg.postprocessing._search import search_steps
from autoseg.postprocessing._select import Selection, select_steps
from autoseg.specs.method import PostprocessChoices

logger = logging.getLogger(__name__)


def choose_steps(
    pairs: Sequence[LabelPair],
    labels: LabelSpace,
    rules: PostprocessChoices,
    *,
    folds: Sequence[str],
    scoring: str = "",
    workers: int = 1,
) -> tuple[Selection, str]:
    """Steps by nnU-Net v2's rule, then by search; none may worsen the score of the data set's challenge.

    Args:
        pairs: Held-out masks and their references; nothing is tried without any.
        labels: What the values mean.
        rules: How far to go.
        folds: Of every pair.
        scoring: Protocol of the challenge, NAME or NAME:VARIANT; empty for none.
        workers: Processes.

    Returns:
        The choice, and the protocol that was asked: empty where it does not know these labels.

    Raises:
        DatasetError: A case cannot be read, has other labels, or another shape than its reference.
    """
    if not pairs:
        return Selection((), (), {}, {}), ""
    guard = _guard(pairs, labels, scoring if rules.search == "all" else "", workers)

    def measure(sequences: Sequence[Steps]) -> list[RegionDice]:
        return list(measure_sequences(pairs, labels, sequences, workers=workers))

    def measure_rows(sequences: Sequence[Steps]) -> list[list[RegionDice]]:
        return measure_cases(pairs, labels, sequences, workers=workers)

    start = select_steps(labels, measure, guard=guard)
    if rules.search == "largest":
        return start, ""
    found = search_steps(start, candidates(labels), measure_rows, folds=folds, guard=guard)
    return found, scoring if isinstance(guard, ProtocolGuard) else ""


def _guard(pairs: Sequence[LabelPair], labels: LabelSpace, scoring: str, workers: int) -> Guard:
    if not scoring:
        return no_guard
    try:
        protocol = load_protocol(scoring)
        protocol.regions(labels)
    except AutosegError as error:
        logger.warning("the scoring protocol %s is not asked: %s", scoring, error)
        return no_guard
    return ProtocolGuard(pairs, labels, protocol, workers=workers)
