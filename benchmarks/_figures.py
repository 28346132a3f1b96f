"""From the runs of a row to its figures: run both sides in turn, and take one number from each run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks._bench import Bench
from benchmarks._measure import Measurement
from benchmarks._results import Check, Limit, Row, Side, load_per_core

Kind = tuple[str, str, Callable[[Measurement], tuple[float]]]
"""Name, unit, and how to get it from a run."""


def alternate(
    bench: Bench, ours: Callable[[], Measurement], peer: Callable[[], Measurement], *, peer_rounds: int | None = None
) -> tuple[list[Measurement], list[Measurement], float]:
    """A B A B; a side that failed is not run again. Returns both sides' runs and the load before."""
    load = load_per_core()
    both: tuple[list[Measurement], list[Measurement]] = ([], [])
    most = (bench.rounds, bench.rounds if peer_rounds is None else min(peer_rounds, bench.rounds))
    for index in range(bench.rounds):
        for call, runs, limit in zip((ours, peer), both, most, strict=True):
            if index < limit and not any(run.failure for run in runs):
                runs.append(call())
    return (*both, load)


def summed(runs: Sequence[Measurement]) -> Measurement:
    """Several commands one after another as one: times add, the largest peak counts, the first failure stays."""
    failure = next((run.failure for run in runs if run.failure), None)
    return Measurement(
        seconds=sum(run.seconds for run in runs),
        cpu_seconds=sum(run.cpu_seconds for run in runs),
        peak_bytes=max(run.peak_bytes for run in runs),
        largest_bytes=max(run.largest_bytes for run in runs),
        failure=failure,
    )


def side(runs: Sequence[Measurement], values: Callable[[Measurement], Sequence[float]]) -> Side:
    """Repetitions of one program, or why there are none."""
    failure = next((run.failure for run in runs if run.failure), None)
    found = tuple(value for run in runs if not run.failure for value in values(run))
    return Side(found, failure, tuple(run.resources() for run in runs))


def wall(run: Measurement) -> tuple[float]:
    """Wall seconds of the whole command."""
    return (run.seconds,)


def cpu(run: Measurement) -> tuple[float]:
    """CPU seconds of the whole command, children included."""
    return (run.cpu_seconds,)


def peak_mib(run: Measurement) -> tuple[float]:
    """Peak memory of all processes in MiB."""
    return (run.peak_bytes / 2**20,)


def largest_mib(run: Measurement) -> tuple[float]:
    """Peak memory of the largest process in MiB: no page counts twice, which favours the side with more processes."""
    return (run.largest_bytes / 2**20,)


def inner(run: Measurement) -> tuple[float]:
    """Seconds that the task itself reported, without start-up."""
    return (float(run.values["seconds"]),)


WHOLE_COMMAND: tuple[Kind, ...] = (
    ("wall", "s", wall),
    ("CPU", "s", cpu),
    ("memory of the largest process", "MiB", largest_mib),
)
WHOLE_TREE: tuple[Kind, ...] = (("wall", "s", wall), ("CPU", "s", cpu), ("memory of all processes", "MiB", peak_mib))


def resources(
    bench: Bench,
    name: str,
    ours: Sequence[Measurement],
    peer: Sequence[Measurement],
    *,
    command: str,
    load: float,
    facts: Mapping[str, object] | None = None,
    kinds: Sequence[Kind] = WHOLE_COMMAND,
    bars: Mapping[str, float] | None = None,
    limits: Mapping[str, Limit] | None = None,
    checks: Sequence[Check] = (),
) -> list[Row]:
    """One row per kind of figure of the same runs.

    Args:
        bench: This call.
        name: Of the rows, before the kind's.
        ours: Runs of autoseg.
        peer: Runs of nnU-Net v2.
        command: What was run.
        load: Processes per core before.
        facts: What was computed.
        kinds: Figures to take.
        bars: Kind -> least ratio of its row.
        limits: Kind -> what the machine would need.
        checks: Results that must agree; with the first row.
    """
    return [
        bench.row(
            f"{name}, {kind}",
            unit,
            ours=side(ours, of),
            peer=side(peer, of),
            command=command,
            load=load,
            facts=facts,
            bar=(bars or {}).get(kind),
            limit=(limits or {}).get(kind),
            checks=checks if number == 0 else (),
        )
        for number, (kind, unit, of) in enumerate(kinds)
    ]
