"""The cost model as a page and a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

UNITS = {"seconds": "s", "reading_seconds": "s", "peak_bytes": "B", "stored_bytes": "B"}
NAMES = {
    "seconds": "time",
    "reading_seconds": "time to read a batch",
    "peak_bytes": "peak memory",
    "stored_bytes": "stored",
}
PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


def markdown(document: dict[str, Any]) -> str:
    """Coefficients, errors, workers, extrapolation."""
    head = document["machine"]
    loads = {name: found["load"] for name, found in document["stages"].items()}
    lines = [
        f"# Cost model: {head['cpu_model']}, one core",
        "",
        "Processor seconds of one thread, peak resident memory. Running processes per core at the start of each stage:",
        f"{', '.join(f'{name} {load:g}' for name, load in loads.items())}.",
        "",
        "| stage | what | per | cost | error, fitted | error, held out |",
        "|---|---|---|---|---:|---:|",
        *map(_law_line, document["laws"]),
        "",
        *_workers(document["stages"].get("workers", {}).get("points", [])),
    ]
    if "extrapolation" in document:
        lines += list(_extrapolation(document))
    return "\n".join(lines)


def quantity(value: float, unit: str) -> str:
    """`3.2 ms`."""
    factor, prefix = next((pair for pair in PREFIXES if abs(value) >= pair[0]), PREFIXES[-1])
    return f"{value / factor:.3g} {prefix}{unit}"


def _law_line(law: dict[str, Any]) -> str:
    unit = UNITS[law["measured"]]
    # A cost that the fit found to be nothing is left out.
    terms = [f"{quantity(price, unit)} {name}" for name, price in law["terms"].items() if price > 0]
    cells = (law["stage"], NAMES[law["measured"]], law["per"], " + ".join(terms))
    return f"| {' | '.join(cells)} | {_errors(law['errors'])} | {_errors(law['held_out_errors'])} |"


def _errors(errors: Sequence[float]) -> str:
    """Median of the absolute errors, and the largest with its sign."""
    if not errors:
        return "-"
    return f"{median(map(abs, errors)):.0%}, at most {max(errors, key=abs):+.0%}"


def _workers(points: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not points:
        return
    one, two = (median(each["seconds"] for each in points if each["workers"] == count) for count in (1, 2))
    count = points[0]["cases"]
    yield f"Preprocessing {count} scans by one process: {one:.1f} s, by two: {two:.1f} s ({one / two:.2f} x)."
    yield ""


def _extrapolation(document: dict[str, Any]) -> Iterator[str]:
    project, cluster = document["project"], document["cluster"]
    yield "## Extrapolated, not measured"
    yield ""
    yield f"{project['cases']:,} CTs of {'x'.join(map(str, project['scan']))} voxels, {cluster['gpus']} GPUs,"
    yield f"{cluster['cores_per_gpu']} cores beside each."
    yield ""
    yield "| stage | what | core hours | GPU hours | hours on the cluster | GiB per process | |"
    yield "|---|---|---:|---:|---:|---:|---|"
    for line in document["extrapolation"]:
        memory = "" if line["gibibytes"] is None else f"{line['gibibytes']:.1f}"
        numbers = (_number(line[name]) for name in ("core_hours", "gpu_hours", "hours"))
        yield f"| {' | '.join((line['stage'], line['what'], *numbers, memory, line['note']))} |"
    yield ""


def _number(value: float) -> str:
    if value == 0:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def draw(document: dict[str, Any], path: Path) -> None:
    """Predicted against measured seconds of every point, held-out ones filled."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "cost model"  # equal figures are equal files
    import matplotlib.pyplot as plt

    timed = [law for law in document["laws"] if law["measured"] == "seconds"]
    if not timed:
        return
    figure, axes = plt.subplots(figsize=(4.5, 4.0), layout="constrained")
    every: list[float] = []
    for law in timed:
        pairs = list(zip(law["measured_values"], law["predicted_values"], law["held_out"], strict=True))
        (dots,) = axes.plot(*zip(*[pair[:2] for pair in pairs], strict=True), "o", mfc="none", ms=5, label=law["stage"])
        judged = [pair[:2] for pair in pairs if pair[2]]
        if judged:
            axes.plot(*zip(*judged, strict=True), "o", color=dots.get_color(), ms=5)
        every += [value for pair in pairs for value in pair[:2]]
    ends = (min(every), max(every))
    axes.plot(ends, ends, color="grey", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="measured, s", ylabel="predicted, s", title="filled: not fitted on")
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
