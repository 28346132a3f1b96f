"""`card.md` of a model folder: what it is, what it was trained on, how well it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoseg.specs.model import Model
from autoseg.specs.report import Report


def model_card(model: Model, reports: Mapping[str, Sequence[Report]]) -> str:
    """Markdown for a reader who has only the folder.

    Args:
        model: The recipe.
        reports: Configuration -> one report per fold, of the held-out cases.
    """
    labels = ", ".join(f"{name} = {value}" for name, value in model.labels.items())
    lines = [
        f"# {model.dataset}, method `{model.method}`",
        "",
        f"Trained with autoseg {model.versions.get('autoseg', '')} on {model.training_cases} cases.",
        f"Input channels in order: {', '.join(model.channels)}. Labels: {labels}.",
        f"Licence of the training data: {model.licence or 'not stated'}.",
        "",
        f"{model.selection_reason}.",
        *_shares(model),
        "",
        "| configuration | fold | held-out cases | region | mean Dice | 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    for configuration, folds in reports.items():
        for fold, report in zip(model.members[configuration].weights, folds, strict=True):
            lines += _rows(configuration, fold, report)
    lines += [
        "",
        "Predict: `autoseg_predict -i IMAGES -o MASKS -m THIS_FOLDER`.",
        "Research use: the scores hold for scans like the training data and say nothing about others.",
        "",
    ]
    return "\n".join(lines)


def _shares(model: Model) -> list[str]:
    """Of the members, where they are not equal."""
    shares = [f"{name} {model.member_weights.get(name, 1.0):g}" for name in model.selected]
    return [f"Shares in the average: {', '.join(shares)}."] if model.member_weights else []


def _rows(configuration: str, fold: str, report: Report) -> list[str]:
    rows = []
    for region, metrics in report.summary.items():
        dice = metrics["dice"]
        mean = "-" if dice.mean is None else f"{dice.mean:.4f}"
        interval = "-" if dice.ci95 is None else f"{dice.ci95[0]:.4f} to {dice.ci95[1]:.4f}"
        cases = f"{len(report.cases)}, seen in training" if fold == "all" else len(report.cases)
        rows.append(f"| {configuration} | {fold} | {cases} | {region} | {mean} | {interval} |")
    return rows
