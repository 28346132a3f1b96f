"""Rows of training: augmentation, one update and its parts, memory."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks._bench import DATASET, Bench, Group
from benchmarks._data import ensure_prepared
from benchmarks._figures import alternate, inner, peak_mib, side
from benchmarks._measure import Measurement
from benchmarks._results import Row, load_per_core

SCRIPT = {"ours": "_ours_training.py", "peer": "_peer_training.py"}
PATCH, BATCH = (128, 128, 128), 2
BATCHES = 40
"""A mean over so many: most transforms happen to few samples."""
AUGMENT_ROUNDS = 3
STEPS, WARM_UP = 4, 3
"""Per block: a fresh process of each side in turn, so that neither works while the other is measured."""
SPLIT_STEPS, BARE_STEPS = 6, 6
AUGMENT_BAR, BFLOAT16_BAR, BARE_BAR = 3.0, 1.9, 1 / 1.05
PARTS = {"load": "load", "augment": "augment", "network": "forward and backward", "update": "update"}


def augment(bench: Bench) -> list[Row]:
    """CPU seconds of augmenting one batch of two 128^3 patches of one channel with nnU-Net's transforms."""
    bench = bench.repeated(AUGMENT_ROUNDS)
    batches, warm_up = (2, 1) if bench.quick else (BATCHES, 2)
    request = {"patch": PATCH, "batch": BATCH, "batches": batches, "warm_up": warm_up}
    seeds = {"ours": iter(range(bench.rounds)), "peer": iter(range(bench.rounds))}

    def run(program: str) -> Measurement:
        # Each repetition draws other values.
        seed = 1000 * next(seeds[program])
        call = bench.ours if program == "ours" else bench.peers
        return call("augment", script=SCRIPT[program], seed=seed, **request)

    ours, peer, load = alternate(bench, lambda: run("ours"), lambda: run("peer"))
    row = bench.row(
        "augment: CPU of one batch",
        "s",
        ours=side(ours, inner),
        peer=side(peer, inner),
        command=f"Pipeline of method nnunet; nnUNetTrainer.get_training_transforms; {batches} batches, one thread",
        load=load,
        facts={"batch": f"{BATCH} x {'x'.join(map(str, PATCH))}", "cut from": _source(ours)},
        bar=AUGMENT_BAR,
    )
    return [row]


def step(bench: Bench) -> list[Row]:
    """One training update of the hippocampus plan, whole, in parts, and against the bare network."""
    ensure_prepared(bench)
    rows = []
    for precision, setting in (("bfloat16", None), ("float32", None), ("bfloat16", "0"), ("float32", "0")):
        ours, peer, load = alternate(bench, _train(bench, precision), _train_peer(bench, setting))
        rows.append(
            bench.row(
                f"step: {precision}, peer with {_processes(setting)}",
                "s",
                ours=side(ours, lambda run: run.values["seconds"]),
                peer=side(peer, lambda run: run.values["seconds"]),
                command=f"gradient_step, method nnunet, {precision}; nnUNetTrainer.train_step(next(dataloader_train))",
                load=load,
                facts=_plans(ours[0], peer[0]),
                bar=BFLOAT16_BAR if precision == "bfloat16" else None,
            )
        )
    for precision in ("bfloat16", "float32"):
        rows += _parts(bench, precision)
    return [*rows, _against_bare(bench)]


def _parts(bench: Bench, precision: str) -> list[Row]:
    """Load, augment, forward and backward, update: one after another, nothing in the background."""
    request = _request(bench) | {"steps": 1 if bench.quick else SPLIT_STEPS}
    ours, peer, load = alternate(
        bench,
        lambda: bench.ours("split", script=SCRIPT["ours"], precision=precision, **request),
        lambda: bench.peers("split", script=SCRIPT["peer"], setting="0", **request),
    )
    return [
        bench.row(
            f"step in parts: {precision}, {what}",
            "s",
            ours=side(ours, _value(name)),
            peer=side(peer, _value(name)),
            command=f"gradient_step, {precision}; nnUNetTrainer.train_step, nnUNet_n_proc_DA=0; means, nothing ahead",
            load=load,
        )
        for name, what in PARTS.items()
    ]


def _against_bare(bench: Bench) -> Row:
    """Whole updates in float32, and in turn with them the network, a scalar and the optimiser alone."""
    load = load_per_core()
    request = _request(bench) | {"steps": 1 if bench.quick else BARE_STEPS}
    runs = [bench.ours("bare", script=SCRIPT["ours"], precision="float32", **request) for _ in range(bench.rounds)]
    return bench.row(
        "step: float32, against the bare network",
        "s",
        ours=side(runs, lambda run: run.values["whole"]),
        peer=side(runs, lambda run: run.values["alone"]),
        command="gradient_step, float32; forward, backward and SGD of the same network, batch in memory (right column)",
        load=load,
        bar=BARE_BAR,
    )


def memory(bench: Bench) -> list[Row]:
    """Peak memory of all processes while training that plan."""
    ensure_prepared(bench)
    bench = bench.repeated(1)
    rows = []
    for precision, setting in (("bfloat16", None), ("float32", "0")):
        ours, peer, load = alternate(
            bench, _train(bench, precision, by_shares=True), _train_peer(bench, setting, by_shares=True)
        )
        command = f"as step, {precision}; memory by shares (PSS) over all processes"
        name = f"memory: training, {precision}, peer with {_processes(setting)}"
        rows.append(
            bench.row(name, "MiB", ours=side(ours, peak_mib), peer=side(peer, peak_mib), command=command, load=load)
        )
    return rows


GROUPS = tuple(Group(make.__name__, (make.__doc__ or "").strip(), make) for make in (augment, step, memory))


def _train(bench: Bench, precision: str, *, by_shares: bool = False) -> Callable[[], Measurement]:
    request = _request(bench) | {"precision": precision}
    return lambda: bench.ours("step", script=SCRIPT["ours"], by_shares=by_shares, **request)


def _train_peer(bench: Bench, setting: str | None, *, by_shares: bool = False) -> Callable[[], Measurement]:
    request = _request(bench)
    return lambda: bench.peers("step", script=SCRIPT["peer"], by_shares=by_shares, setting=setting, **request)


def _request(bench: Bench) -> dict[str, object]:
    steps, warm_up = (1, 1) if bench.quick else (STEPS, WARM_UP)
    return {"dataset": DATASET, "workspace": bench.workspace, "steps": steps, "warm_up": warm_up}


def _processes(setting: str | None) -> str:
    return "its default loaders" if setting is None else f"nnUNet_n_proc_DA={setting}"


def _value(name: str) -> Callable[[Measurement], tuple[float]]:
    return lambda run: (float(run.values[name]),)


def _source(runs: list[Measurement]) -> str:
    return "x".join(map(str, runs[0].values.get("source", [])))


def _plans(ours: Measurement, peer: Measurement) -> dict[str, object]:
    """Both plans where they differ, else the one."""
    named = {key: (ours.values.get(key), peer.values.get(key)) for key in ("batch", "patch", "features", "parameters")}
    return {key: first if first == second else f"{first} against {second}" for key, (first, second) in named.items()}
