"""Figures without a window system: made, saved as PNG; colours and weights that all of them share."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.core.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#f2b134", "#e5383b", "#2a9df4", "#43aa8b", "#b07aa1", "#17becf", "#e377c2", "#9c755f")
"""Per label, repeated when there are more; chosen to stand out on grey, neighbours apart for the colour-blind too."""
INK, FAINT, GRID = "#222222", "#8a8a8a", "#e8e8e8"
DOTS_PER_INCH = 110


def colour_of(value: int) -> str:
    """Colour of a label value from 1."""
    return COLOURS[(value - 1) % len(COLOURS)]


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """An empty white figure; without pyplot there is no global state, and nothing to close."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, picture: Path) -> None:
    """Write a PNG atomically."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    write_bytes(picture, buffer.getvalue())
