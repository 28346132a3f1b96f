"""The training loop: update, validate once per epoch, save, stop and go on exactly where it stopped."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import torch

from autoseg.core.atomic import named_disk_errors, remove_partial, write_bytes, write_text
from autoseg.core.errors import AutosegError, Interrupted
from autoseg.core.seeds import derive_seed
from autoseg.devices.memory import peak_memory_bytes
from autoseg.io.weights import save_weights
from autoseg.specs.run import Run
from autoseg.training.agreement import BEST, CHECKPOINT, FINAL, LOG, settings_digest
from autoseg.training.checkpoint import load_checkpoint, save_checkpoint
from autoseg.training.interrupts import StopRequest
from autoseg.training.loader import Batch
from autoseg.training.optim import set_learning_rate
from autoseg.training.pace import Pace
from autoseg.training.progress import EpochLog, Progress
from autoseg.training.schedule import average_decay, learning_rate
from autoseg.training.step import Parts, autocast, gradient_step

logger = logging.getLogger(__name__)
Validate = Callable[[torch.nn.Module], dict[str, float | None]]
CHECKPOINT_INTERVAL_S = 60.0
"""Work lost at most when the process is killed, unless saving is slow."""
SAVING_SHARE = 0.02
"""Of the time at most, for checkpoints: gigabytes on a shared disk are saved less often."""


class Observer(Protocol):
    """Whoever shows the run."""

    def updated(self, update: int, total: int, loss: float) -> None:
        """One update is done."""

    def epoch_finished(self, log: EpochLog, seconds: float) -> None:
        """One epoch is done and logged."""


class Trainer:
    """One run in one folder.

    Args:
        run: What is trained and for how long.
        folder: Of the run; holds log, checkpoint and weights.
        parts: The live objects.
        observer: Is told of updates and epochs.
        validate: Dice per target of whole held-out cases, given a network in evaluation mode; None judges epochs by
            their validation patches.
    """

    def __init__(
        self, run: Run, folder: Path, parts: Parts, observer: Observer, *, validate: Validate | None = None
    ) -> None:
        self.validate = validate
        self.run, self.folder, self.parts, self.observer = run, folder, parts, observer
        self.choice = run.method.train.optimizer
        self.progress = Progress(parts.objective.space.names)
        self.pace = Pace(run.schedule)
        self._saved_at = self._ticked_at = time.monotonic()
        self._saving_s = 0.0

    def fit(self) -> None:
        """Train to the end of the schedule, or until the method gives up hope of progress.

        Raises:
            Interrupted: SIGTERM or Ctrl-C arrived; the state is saved.
            AutosegError: The loss is no longer a finite number.
            StorageError: The disk is full; the last checkpoint stays.
            CheckpointError: The saved state is damaged or belongs to other settings.
        """
        self._resume()
        with StopRequest() as stop, contextlib.closing(self.parts.train.stream(self.progress.update)) as batches:
            self._ticked_at = time.monotonic()
            while self.progress.update < self.pace.updates and not self._stops_early():
                loss = self._update(next(batches))
                self.progress.record_update(loss)
                self.observer.updated(self.progress.update, self.pace.updates, loss)
                if self.progress.update % self.run.schedule.iterations_per_epoch == 0:
                    self._finish_epoch()
                signal_number = self.parts.share.largest(stop.signal_number or 0)
                if signal_number:
                    self.save()
                    raise Interrupted(
                        signal_number, f"stopped after update {self.progress.update} of {self.pace.updates}"
                    )
                if time.monotonic() - self._saved_at > max(CHECKPOINT_INTERVAL_S, self._saving_s / SAVING_SHARE):
                    self.save()
        self.save()
        # The others wait here until all files are complete.
        self.parts.share.decide(self._keep_weights)

    def _keep_weights(self) -> None:
        if self.run.method.train.keep == "best" and (self.folder / BEST).is_file():
            write_bytes(self.folder / FINAL, (self.folder / BEST).read_bytes())
        else:
            self._save_weights(FINAL)

    def _update(self, batch: Batch) -> float:
        """One optimiser step; returns the loss."""
        parts, state = self.parts, self.parts.state
        update = self.progress.update
        # Dropout and other draws of torch depend on the update alone, so nothing random needs to be saved.
        other = () if parts.share.is_first else (parts.share.rank,)  # each drops out on its own samples
        torch.manual_seed(derive_seed(self.run.seed, self.run.fold, "update", update, *other))
        set_learning_rate(state.optimizer, self._rate(update))
        loss = gradient_step(parts, batch, clip=self.choice.gradient_clip)
        if not math.isfinite(loss):
            raise AutosegError(
                f"the loss is {loss} at update {update}", "lower the rate: --set train.optimizer.learning_rate=..."
            )
        if state.average is not None:
            state.average.update(average_decay(self.choice, update))
        return loss

    def _rate(self, update: int) -> float:
        """Learning rate of an update of the current epoch."""
        position = self.pace.position(update)
        return learning_rate(self.choice, self.run.schedule, position, scale=self.progress.plateau.scale)

    def _stops_early(self) -> bool:
        plateau = self.progress.plateau
        over = plateau.is_over(self.run.method.train.plateau)
        if over:
            logger.info("no progress for %d epochs: ends after update %d", plateau.stale, self.progress.update)
        return over

    def _finish_epoch(self) -> None:
        schedule, progress = self.run.schedule, self.progress
        with self._averaged_weights():
            losses, counts = self._validate()
            log = progress.finish_epoch(
                iterations_per_epoch=schedule.iterations_per_epoch,
                learning_rate=self._rate(progress.update - 1),
                validation_losses=losses,
                counts=counts,
                volume_dice=self._validate_volumes(),
            )
            if log.is_best and self.parts.share.is_first:
                save_weights(self.folder / BEST, self.parts.state.network.state_dict(), {"epoch": str(log.epoch)})
        progress.plateau.record(log.mean_dice, self.run.method.train.plateau, learning_rate=self.choice.learning_rate)
        self._tick()
        progress.elapsed_s = self.parts.share.decide(lambda: progress.elapsed_s)
        seconds, progress.epoch_began_s = progress.elapsed_s - progress.epoch_began_s, progress.elapsed_s
        line = {
            **asdict(log),
            "time": {
                "seconds": round(seconds, 3),
                "finished": time.strftime("%FT%TZ", time.gmtime()),
                "peak_memory_bytes": peak_memory_bytes(self.parts.device),
            },
        }
        if self.parts.share.is_first:
            with named_disk_errors(self.folder / LOG), (self.folder / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        self.observer.epoch_finished(log, seconds)
        self.pace.correct(progress.update, elapsed_s=progress.elapsed_s, epoch_s=seconds)

    def _tick(self) -> None:
        """Count the time since the last call as training."""
        now = time.monotonic()
        self.progress.elapsed_s += now - self._ticked_at
        self._ticked_at = now

    @torch.inference_mode()
    def _validate(self) -> tuple[list[float], list[tuple[int, int, int]]]:
        """Losses and pooled counts over this epoch's validation batches."""
        parts, steps = self.parts, self.run.schedule.validation_iterations
        epoch = self.progress.update // self.run.schedule.iterations_per_epoch - 1
        losses: list[float] = []
        counts = torch.zeros(len(parts.objective.space.names), 3, dtype=torch.int64)
        parts.state.network.eval()
        for batch in itertools.islice(parts.validation.stream(epoch * steps), steps):
            image, labels = parts.centre_crop(*batch.on(parts.device), seeds=batch.seeds)
            loss = 0.0
            for rows, annotated in batch.split(parts.accumulate):
                with autocast(parts):
                    outputs = parts.forward(image[rows])
                judged = parts.judged(outputs, labels[rows], annotated)
                loss += len(image[rows]) / len(image) * float(parts.objective.loss(*judged))
                counts += parts.objective.counts(*judged).cpu()
            losses.append(loss)
        parts.state.network.train()
        return losses, [(int(tp), int(fp), int(fn)) for tp, fp, fn in counts]

    def _validate_volumes(self) -> dict[str, float | None] | None:
        """Dice of whole cases, where the method asks for it."""
        if self.validate is None:
            return None
        network = self.parts.state.network.eval()
        deep = getattr(network, "deep_supervision", None)
        if deep is not None:
            setattr(network, "deep_supervision", False)  # noqa: B010 - not every network has it
        try:
            return self.validate(network)
        finally:
            if deep is not None:
                setattr(network, "deep_supervision", deep)  # noqa: B010
            network.train()

    @contextlib.contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        average = self.parts.state.average
        if average is not None:
            average.swap()
        try:
            yield
        finally:
            if average is not None:
                average.swap()

    def save(self) -> None:
        """Write the checkpoint."""
        self._tick()
        began = time.monotonic()
        if self.parts.share.is_first:
            values = self.progress.to_values()
            save_checkpoint(
                self.folder / CHECKPOINT, self.parts.state, progress=values, run_digest=settings_digest(self.run)
            )
        self._saved_at = time.monotonic()
        self._saving_s = self._saved_at - began

    def _save_weights(self, name: str) -> None:
        epochs = self.progress.update // self.run.schedule.iterations_per_epoch
        with self._averaged_weights():
            save_weights(self.folder / name, self.parts.state.network.state_dict(), {"epoch": str(epochs)})

    def _resume(self) -> None:
        """Restore the last checkpoint, if there is one, and cut the log back to it."""
        is_first = self.parts.share.is_first
        self.parts.share.decide(lambda: remove_partial(self.folder))
        path = self.folder / CHECKPOINT
        if path.is_file():
            values = load_checkpoint(path, self.parts.state, run_digest=settings_digest(self.run))
            progress = self.progress = Progress.from_values(values)
            epochs = progress.update / self.run.schedule.iterations_per_epoch
            if epochs:
                self.pace.correct(progress.update, elapsed_s=progress.elapsed_s, epoch_s=progress.elapsed_s / epochs)
        log = self.folder / LOG
        if is_first and log.is_file():
            write_text(log, "".join(_lines_until(log, self.progress.update)))


def _lines_until(log: Path, update: int) -> list[str]:
    """Complete log lines of epochs that end at or before `update`."""
    kept = []
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n") or json.loads(line)["update"] > update:
            break
        kept.append(line)
    return kept
