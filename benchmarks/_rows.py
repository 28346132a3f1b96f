"""The measurements of the main job, in the order of a user's day."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks._bench import DATASET, Bench, Group
from benchmarks._data import (
    OURS_PREPARE,
    ensure_prepared,
    ensure_raw,
    linked,
    prepare_ours,
    prepare_peer,
    random_models,
    required,
)
from benchmarks._figures import Kind, alternate, inner, largest_mib, peak_mib, resources, side, summed, wall
from benchmarks._measure import Measurement
from benchmarks._results import Row

HELP_ROUNDS, PREPARE_ROUNDS = 5, 3
STEPS, WARM_UP = 4, 3
"""Per block: a fresh process of each side in turn, so that neither works while the other is measured."""
SOURCE_SPACING_MM = 3.0


def help_(bench: Bench) -> list[Row]:
    """Start-up."""
    ours, peer, load = alternate(
        bench.repeated(HELP_ROUNDS),
        lambda: bench.autoseg("--help"),
        lambda: bench.nnunet("plan_and_preprocess", "--help"),
    )
    command = "autoseg --help; nnUNetv2_plan_and_preprocess --help"
    return [bench.row("help", "s", ours=side(ours, wall), peer=side(peer, wall), command=command, load=load)]


def prepare(bench: Bench) -> list[Row]:
    """From raw data to preprocessed cases."""
    ensure_raw(bench)
    bench = bench.repeated(PREPARE_ROUNDS)
    ours, peer, load = alternate(
        bench, lambda: summed(prepare_ours(bench)), lambda: summed(prepare_peer(bench)), peer_rounds=1
    )
    count = min(bench.cores, 8)
    theirs = f"nnUNetv2_extract_fingerprint -np {count}, _plan_experiment, _preprocess -c 2d 3d_fullres -np {count}"
    command = ", ".join(f"autoseg {line}" for line in OURS_PREPARE) + "; " + theirs
    return resources(bench, "prepare", ours, peer, command=command, load=load)


def step(bench: Bench) -> list[Row]:
    """One training update of the same plan, next batch included."""
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
            )
        )
    return rows


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


def predict(bench: Bench) -> list[Row]:
    """Held-out images to masks, the whole command, mirroring on."""
    random_ours, random_peer = random_models(bench)
    models = {"same network, random weights": random_ours}
    if bench.model is not None:
        models["given model"] = bench.model
    images, output = linked(bench, "imagesTr"), bench.work / "predicted"

    def run_peer() -> Measurement:
        shutil.rmtree(output / "peer", ignore_errors=True)
        return bench.nnunet(
            "predict_from_modelfolder",
            *("-i", images, "-o", output / "peer", "-m", random_peer, "-f", "0", "-device", "cpu"),
        )

    theirs = "nnUNetv2_predict_from_modelfolder -i IMAGES -o MASKS -m MODEL -f 0 -device cpu"
    rows = []
    for name, model in models.items():

        def run_ours(model: Path = model) -> Measurement:
            shutil.rmtree(output / "ours", ignore_errors=True)
            return bench.autoseg("predict", "-i", images, "-o", output / "ours", "-m", model, "--device", "cpu")

        ours, peer, load = alternate(bench, run_ours, run_peer)
        command = f"autoseg predict -i IMAGES -o MASKS -m MODEL --device cpu; {theirs}"
        facts = {"cases": len(list(images.iterdir()))}
        rows += resources(bench, f"predict: {name}", ours, peer, command=command, load=load, facts=facts)
    return rows


def export(bench: Bench) -> list[Row]:
    """Logits of 42 classes to a native grid of 512 x 512 x 150."""
    ensure_prepared(bench)
    folder = bench.fresh("export")
    labels = bench.data / "multiorgan_ct_3mm" / "labels.nii.gz"
    made = required(bench.ours("logits", labels=labels, output=folder))
    source = made.values["shape"]
    shape = (60, 128, 128) if bench.quick else (150, 512, 512)
    spacing = [SOURCE_SPACING_MM * before / after for before, after in zip(source[1:], shape, strict=True)]
    rows = []
    for precision in ("float16", "float32"):
        request = {"logits": folder / f"logits_{precision}.npy", "shape": shape, "spacing_mm": spacing}

        def run_ours(request: Mapping[str, Any] = request) -> Measurement:
            return bench.ours("export", output=folder / "ours.npy", **request)

        def run_peer(request: Mapping[str, Any] = request) -> Measurement:
            return bench.peers("export", output=folder / "peer.npy", dataset=DATASET, **request)

        ours, peer, load = alternate(bench, run_ours, run_peer, peer_rounds=1)
        command = "labels_on_native_grid; convert_predicted_logits_to_segmentation_with_correct_shape"
        facts = {"logits": "x".join(map(str, source)), "grid": "x".join(map(str, shape))}
        kinds: tuple[Kind, ...] = (("time", "s", inner), ("memory", "MiB", largest_mib))
        rows += resources(
            bench, f"export: {precision}", ours, peer, command=command, load=load, facts=facts, kinds=kinds
        )
    return rows


def evaluate(bench: Bench) -> list[Row]:
    """Scores of the held-out cases' masks."""
    references, masks = linked(bench, "labelsTr"), bench.fresh("masks")
    required(bench.ours("shifted_masks", references=references, output=masks))
    report = bench.fresh("reports")
    rows = []
    for name, flags in (("with surface distances, which the peer lacks", ()), ("overlap only", ("--no-surface",))):

        def run_ours(flags: tuple[str, ...] = flags) -> Measurement:
            given = ("-i", masks, "-r", references, "-o", report / "o.json", "-d", "4", "--protocol", "autoseg")
            return bench.autoseg("evaluate", *given, *flags)

        def run_peer() -> Measurement:
            labels = ("-l", "1", "2", "-np", str(bench.cores))
            return bench.nnunet("evaluate_simple", references, masks, *labels, "-o", report / "p.json")

        ours, peer, load = alternate(bench, run_ours, run_peer)
        command = " ".join(("autoseg evaluate -i MASKS -r REFERENCES -d 4 --protocol autoseg", *flags))
        command += "; nnUNetv2_evaluate_simple REFERENCES MASKS -l 1 2 -np CORES"
        facts = {"cases": len(list(masks.iterdir()))}
        rows += resources(bench, f"evaluate: {name}", ours, peer, command=command, load=load, facts=facts)
    return rows


GROUPS = tuple(
    Group(make.__name__.rstrip("_"), (make.__doc__ or "").strip(), make)
    for make in (help_, prepare, step, memory, predict, export, evaluate)
)


def _train(bench: Bench, precision: str, *, by_shares: bool = False) -> Callable[[], Measurement]:
    steps, warm_up = _counts(bench)
    request = {"dataset": DATASET, "workspace": bench.workspace, "precision": precision}
    return lambda: bench.ours("step", by_shares=by_shares, steps=steps, warm_up=warm_up, **request)


def _train_peer(bench: Bench, setting: str | None, *, by_shares: bool = False) -> Callable[[], Measurement]:
    steps, warm_up = _counts(bench)
    request = {"dataset": DATASET, "steps": steps, "warm_up": warm_up}
    return lambda: bench.peers("step", by_shares=by_shares, setting=setting, **request)


def _counts(bench: Bench) -> tuple[int, int]:
    return (1, 1) if bench.quick else (STEPS, WARM_UP)


def _processes(setting: str | None) -> str:
    return "its default loaders" if setting is None else f"nnUNet_n_proc_DA={setting}"


def _plans(ours: Measurement, peer: Measurement) -> dict[str, object]:
    """Both plans where they differ, else the one."""
    named = {key: (ours.values.get(key), peer.values.get(key)) for key in ("batch", "patch", "features", "parameters")}
    return {key: first if first == second else f"{first} against {second}" for key, (first, second) in named.items()}
