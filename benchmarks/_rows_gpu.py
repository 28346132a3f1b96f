"""Rows of training on a GPU: epoch, waiting for data, utilisation, memory, with and without torch.compile."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

from benchmarks._bench import Bench, Group, NotHereError
from benchmarks._data import CT_AS_IT_IS, HIPPOCAMPUS, Source, ensure_prepared
from benchmarks._figures import alternate, side
from benchmarks._measure import Measurement
from benchmarks._results import Limit, Row

UPDATES, WARM_UP = 250, 30
"""Updates of an epoch, and before it."""
FIGURES: tuple[tuple[str, str, str], ...] = (
    ("epoch of 250 updates", "s", "epoch_s"),
    ("waiting for data", "share", "data_wait"),
    ("idle GPU", "share", "idle"),
    ("peak GPU memory", "MiB", "peak_mib"),
)
"""Name, unit, and key in what the tasks report; smaller is better for each."""


def gpu_hippocampus(bench: Bench) -> list[Row]:
    """Training of the hippocampus plan on the GPU."""
    return _training(bench, HIPPOCAMPUS, "hippocampus")


def gpu_liver(bench: Bench) -> list[Row]:
    """Training of the liver CT's plan on the GPU."""
    return _training(bench, CT_AS_IT_IS, "liver")


def _training(bench: Bench, source: Source, name: str) -> list[Row]:
    if not has_gpu():
        raise NotHereError("there is no CUDA device")
    ensure_prepared(bench, source)
    rows = []
    for compiled in (True, False):
        ours, peer, load = alternate(
            bench, _run(bench.ours, bench, source, compiled), _run(bench.peers, bench, source, compiled)
        )
        rows += training_rows(bench, f"GPU: {name}, {'compiled' if compiled else 'not compiled'}", ours, peer, load)
    return rows


def has_gpu() -> bool:
    """Whether a driver of NVIDIA answers; torch is not asked, since a process that asked it keeps GPU memory."""
    return shutil.which("nvidia-smi") is not None


def _run(call: Callable[..., Measurement], bench: Bench, source: Source, compiled: bool) -> Callable[[], Measurement]:
    theirs = call == bench.peers
    updates, warm_up = (10, 2) if bench.quick else (UPDATES, WARM_UP)
    request = {
        "script": "_peer_gpu.py" if theirs else "_ours_gpu.py",
        "dataset": source.dataset,
        "workspace": bench.workspace,
        "compiled": compiled,
        "updates": updates,
        "warm_up": warm_up,
    }
    return lambda: call("train", **request)


def training_rows(bench: Bench, name: str, ours: list[Measurement], peer: list[Measurement], load: float) -> list[Row]:
    """A row per figure of the same runs."""
    command = f"gradient_step, method nnunet; nnUNetTrainer.train_step(next(dataloader_train)); {UPDATES} updates"
    return [
        bench.row(
            f"{name}, {title}",
            unit,
            ours=side(ours, _figure(key)),
            peer=side(peer, _figure(key)),
            command=command,
            load=load,
            limit=_limit(bench, ours) if key == "epoch_s" else None,
        )
        for title, unit, key in FIGURES
    ]


def _limit(bench: Bench, ours: list[Measurement]) -> Limit | None:
    """The operations of all updates, counted in one, at the GPU's rate."""
    operations = next((run.values["operations"] for run in ours if not run.failure), None)
    return None if operations is None else bench.gpu_rates.compute(UPDATES * operations, "bfloat16")


def _figure(key: str) -> Callable[[Measurement], Sequence[float]]:
    return lambda run: () if run.values[key] is None else (float(run.values[key]),)


GROUPS = (Group.of(gpu_hippocampus), Group.of(gpu_liver))
