"""Rows of prediction: whole commands with the same weights, and how far the masks agree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks._bench import Bench, Group
from benchmarks._data import CT, HIPPOCAMPUS
from benchmarks._figures import alternate, resources
from benchmarks._masks import Agreement, compare_masks
from benchmarks._measure import Measurement
from benchmarks._models import Lesson, equal_models, linked_cases
from benchmarks._results import Check, Row

QUICK_CASES = 3
LEAST_DICE = {"bfloat16": 0.997, "float32": 0.9999}
"""Against the peer's masks."""
MOST_CHANGE = 0.001
"""Of the mean Dice against the references."""
OURS = {"bfloat16": "autoseg predict", "float32": "autoseg predict (in Python, precision='float32')"}
"""The command line takes bfloat16 by itself, where the processor has it."""
COARSE_CT = replace(CT, number=19, dataset="Dataset019_IRCADbLiverTumour", copies=1, spacing_mm=(3.0, 3.0, 3.0))


@dataclass(frozen=True)
class Task:
    """What is predicted.

    Attributes:
        name: Of the rows.
        lesson: What the model learned, and the images' source.
        cases: How many images.
        mirror: Average over mirrored copies.
        bar: Least ratio of wall times with bfloat16.
        judged: Whether the Dice against the references is compared, too.
    """

    name: str
    lesson: Lesson
    cases: int
    mirror: bool
    bar: float
    judged: bool


HIPPOCAMPUS_TASK = Task(
    "predict: 60 hippocampus cases", Lesson(HIPPOCAMPUS, "0", 200), cases=60, mirror=True, bar=3.0, judged=True
)
CT_TASK = Task(
    "predict: CT at 3 mm",
    Lesson(
        COARSE_CT,
        "all",
        300,
        ("plan.overrides.3d_fullres.spacing_mm=[3.0,3.0,3.0]", "plan.overrides.3d_fullres.batch_size=1"),
    ),
    cases=1,
    mirror=False,
    bar=2.5,
    judged=False,
)


def predict_hippocampus(bench: Bench) -> list[Row]:
    """60 hippocampus images to masks with the same weights, mirroring on, the whole command."""
    return _predict(bench, HIPPOCAMPUS_TASK)


def predict_ct(bench: Bench) -> list[Row]:
    """A CT of 512 x 512 x 119, planned at 3 mm, to masks of three classes on its own grid, no mirroring."""
    return _predict(bench, CT_TASK)


GROUPS = tuple(Group.of(make) for make in (predict_hippocampus, predict_ct))


def _predict(bench: Bench, task: Task) -> list[Row]:
    model, peer_model = equal_models(bench, task.lesson)
    cases = min(task.cases, QUICK_CASES) if bench.quick else task.cases
    images, references = linked_cases(bench, task.lesson.source, cases)
    place = bench.work / "predicted" / task.lesson.source.dataset
    unmirrored = () if task.mirror else ("--disable_tta",)

    def run_ours() -> Measurement:
        output = bench.fresh(*_parts(bench, place / "bfloat16"))
        flags = ("-i", images, "-o", output, "-m", model, "--device", "cpu", *unmirrored)
        return bench.autoseg("predict", *flags)

    def run_peer() -> Measurement:
        output = bench.fresh(*_parts(bench, place / "peer"))
        flags = ("-i", images, "-o", output, "-m", peer_model, "-f", task.lesson.fold, "-device", "cpu", *unmirrored)
        return bench.nnunet("predict_from_modelfolder", *flags)

    ours, peer, load = alternate(bench, run_ours, run_peer)
    exact = bench.ours(
        "predict",
        script="_ours_prediction.py",
        workspace=bench.workspace,
        images=images,
        output=bench.fresh(*_parts(bench, place / "float32")),
        model=model,
        mirror=task.mirror,
        precision="float32",
    )
    theirs = "nnUNetv2_predict_from_modelfolder -i IMAGES -o MASKS -m MODEL -f FOLD -device cpu"
    operations, rows = exact.values.get("operations", 0), []
    for precision, runs in (("bfloat16", ours), ("float32", [exact])):
        failed = any(run.failure for run in (*runs, *peer))
        agreement = None if failed else compare_masks(place / "peer", place / precision)
        rows += resources(
            bench,
            f"{task.name}, {precision}",
            runs,
            peer,
            command=" ".join((OURS[precision], "-i IMAGES -o MASKS -m MODEL --device cpu;", theirs, *unmirrored)),
            load=load,
            facts={"cases": cases} | ({} if agreement is None else agreement.describe()),
            bars={"wall": task.bar} if precision == "bfloat16" else {},
            limits={"wall": bench.rates.compute(operations, precision)},
            checks=() if agreement is None else _checks(task, precision, agreement, references, place),
        )
    return rows


def _checks(task: Task, precision: str, agreement: Agreement, references: Path, place: Path) -> list[Check]:
    found = [Check("mean Dice against the peer's masks", agreement.mean or 0.0, least=LEAST_DICE[precision])]
    if task.judged:
        ours, theirs = (compare_masks(references, place / name).mean or 0.0 for name in (precision, "peer"))
        found.append(Check("mean Dice against the references", ours))
        found.append(Check("change of it from the peer's", abs(ours - theirs), most=MOST_CHANGE))
    return found


def _parts(bench: Bench, folder: Path) -> tuple[str, ...]:
    return folder.relative_to(bench.work).parts
