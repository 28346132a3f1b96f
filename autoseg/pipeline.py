"""The ten stages in order, and the run of several of them: start reading here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageInfo:
    """One stage.

    Attributes:
        name: Verb of the command line and file in `autoseg/stages/`.
        reads: What it needs.
        writes: What it leaves under the workspace.
    """

    name: str
    reads: str
    writes: str


STAGES = (
    StageInfo("convert", "a challenge's own folder", "raw/DatasetNNN_Name/ with dataset.json"),
    StageInfo("fingerprint", "raw/", "prepared/<dataset>/fingerprint.json"),
    StageInfo("plan", "fingerprint, method, device", "prepared/<dataset>/<method>/plan.json, splits.json"),
    StageInfo("preprocess", "raw/, plan", "prepared/<dataset>/cases_<digest>/"),
    StageInfo("train", "cases, plan, method", "runs/<dataset>/<method>/<configuration>/fold_<k>/"),
    StageInfo("predict", "images or a fold's held-out cases, weights", "masks, optional probabilities"),
    StageInfo("ensemble", "runs and their held-out predictions", "models/<dataset>/<method>/ with model.json"),
    StageInfo("postprocess", "held-out predictions", "postprocess.json in the model folder"),
    StageInfo("evaluate", "masks, references, protocol", "report.json, report.csv"),
    StageInfo("submit", "masks, submission format", "archive, manifest.json"),
)
