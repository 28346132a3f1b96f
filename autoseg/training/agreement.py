"""What a run's folder holds and what is asked for: go on, extend, start, or refuse. Nothing here needs torch."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from autoseg.core.errors import CheckpointError, SpecError
from autoseg.specs.document import canonical_json
from autoseg.specs.run import Run, Schedule

RUN = "run.json"
CHECKPOINT = "checkpoint_latest.safetensors"
FINAL = "weights_final.safetensors"
BEST = "weights_best.safetensors"
LOG = "log.jsonl"
FREE = frozenset({"schedule", "versions", "device"})
"""Fields of a run that may change while it goes on: the length may grow, the device may be another."""

logger = logging.getLogger(__name__)


def settings_digest(run: Run) -> str:
    """Digest of what a checkpoint must agree on."""
    values = run.model_dump(mode="json", exclude=set(FREE))
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()[:12]


def agree(
    folder: Path, draft: Run, choose_schedule: Callable[[Schedule | None], Schedule], *, replan: bool
) -> Run | None:
    """The run to train, noted in its folder; None when what is asked for is complete.

    Args:
        folder: Of the run.
        draft: What is asked for; its schedule is ignored.
        choose_schedule: Length asked for, given the one on disk.
        replan: Throw away a run with other settings.

    Raises:
        CheckpointError: The folder holds a run with other settings, or with epochs of another length.
        SpecError: Its `run.json` cannot be read.
    """
    path = folder / RUN
    found = None
    try:
        found = _found(path, draft)
    except (CheckpointError, SpecError):
        if not replan:
            raise
        logger.info("%s had other settings and is replaced", folder)
        shutil.rmtree(folder)
    schedule = choose_schedule(None if found is None else found.schedule)
    if found is not None:
        if schedule.updates <= found.schedule.updates:
            return None if (folder / FINAL).is_file() else found
        if schedule.iterations_per_epoch != found.schedule.iterations_per_epoch:
            raise CheckpointError(
                f"{folder} has epochs of {found.schedule.iterations_per_epoch} updates",
                f"extend it with --iterations-per-epoch {found.schedule.iterations_per_epoch}",
            )
        (folder / FINAL).unlink(missing_ok=True)
        logger.info("extending %d epochs to %d", found.schedule.epochs, schedule.epochs)
    else:
        logger.info("%d epochs of %d updates", schedule.epochs, schedule.iterations_per_epoch)
    final = draft.model_copy(update={"schedule": schedule})
    final.save(path)
    return final


def _found(path: Path, draft: Run) -> Run | None:
    """The run on disk, which must be the one asked for."""
    if not path.is_file():
        return None
    found = Run.load(path)
    if settings_digest(found) != settings_digest(draft):
        changed = [name for name in Run.model_fields if name not in FREE]
        changed = [name for name in changed if getattr(found, name) != getattr(draft, name)]
        raise CheckpointError(
            f"{path.parent} holds a run with another {', '.join(changed)}",
            "use the same settings, or add --replan to train it anew",
        )
    return found
