"""The curves of a run as one picture: losses, pseudo Dice, learning rate, seconds per epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autoseg.reporting.figure import new_figure, save_figure


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a `log.jsonl`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def draw_curves(log: Path, picture: Path, *, title: str) -> None:
    """Draw `log` to a PNG; does nothing while there is no finished epoch."""
    lines = read_log(log) if log.is_file() else []
    if not lines:
        return
    figure = new_figure(9, 9)
    losses, dice, rest = figure.subplots(3, 1, sharex=True)
    epochs = [line["epoch"] + 1 for line in lines]
    losses.plot(epochs, [line["train_loss"] for line in lines], color="#0b5394", label="training")
    losses.plot(epochs, [line["validation_loss"] for line in lines], color="#e69138", label="validation")
    losses.set_ylabel("loss")
    losses.set_title(title)
    for name in lines[0]["dice"]:
        dice.plot(epochs, [line["dice"][name] for line in lines], linewidth=1, label=name)
    dice.plot(epochs, [line["average_dice"] for line in lines], color="black", linewidth=2, label="running mean")
    dice.set_ylabel("pseudo Dice of validation patches")
    dice.set_ylim(0, 1)
    rest.plot(epochs, [line["learning_rate"] for line in lines], color="#38761d")
    rest.set_ylabel("learning rate", color="#38761d")
    seconds = rest.twinx()
    seconds.plot(epochs, [line["time"]["seconds"] for line in lines], color="#999999", linewidth=1)
    seconds.set_ylabel("seconds per epoch", color="#777777")
    seconds.set_ylim(bottom=0)
    rest.set_xlabel("epoch")
    for axes in (losses, dice):
        axes.legend(frameon=False, loc="best")
    for axes in (losses, dice, rest):
        axes.grid(color="#eeeeee")
    save_figure(figure, picture)
