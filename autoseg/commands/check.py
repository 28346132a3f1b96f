"""check: read every file of a raw data set once and print one table of what is wrong, where, and the cure."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoseg.core.workers import default_workers, run_cases
from autoseg.core.workspace import Workspace
from autoseg.datasets.checks import CaseCheck, Finding, check_case, duplicates
from autoseg.io.raw import RawCase, RawDataset
from autoseg.specs.document import Document

logger = logging.getLogger(__name__)
SIGNATURES = "signatures.json"


class Signatures(Document):
    """`prepared/<dataset>/signatures.json`: what the images of a data set look like, to find copies elsewhere."""

    cases: dict[str, str]
    """Case id -> digest of shape and middle slice."""
    overlap_groups: dict[str, str]
    """Case id -> declared overlap group."""


@dataclass(frozen=True)
class Options:
    """What to check.

    Attributes:
        dataset: Id, folder, bare name or path.
        workers: Processes; None uses every CPU.
    """

    dataset: str
    workers: int | None = None


def run(options: Options, workspace: Workspace) -> tuple[Finding, ...]:
    """Check, print the table, and return the findings, failures first.

    Raises:
        DatasetError: There is no such data set.
        SpecError: Its `dataset.json` cannot be used.
    """
    folder = _folder(options.dataset, workspace)
    dataset, problems = RawDataset.scan(folder)
    findings = [Finding("fail", error.case_id or folder.name, error.problem, error.cure) for error in problems]
    checks: list[CaseCheck] = []
    function = functools.partial(check_case, channels=dataset.spec.channels(), labels=dataset.labels)
    cases = (*dataset.training, *dataset.test)
    workers = default_workers() if options.workers is None else options.workers
    for outcome in run_cases(function, cases, workers=workers):
        if outcome.result is not None:
            checks.append(outcome.result)
            findings.extend(outcome.result.findings)
        elif outcome.error is not None:
            findings.append(Finding("fail", outcome.item.case_id, outcome.error.problem, outcome.error.cure))
    findings.extend(_unused_labels(dataset, checks))
    findings.extend(_copies(dataset, checks, workspace))
    ordered = tuple(sorted(findings, key=lambda finding: (finding.severity != "fail", finding.where, finding.problem)))
    _print(dataset, ordered, cases)
    return ordered


def _folder(name: str, workspace: Workspace) -> Path:
    path = Path(name)
    if (path / "dataset.json").is_file():
        return path.resolve()
    return workspace.raw_dataset(workspace.resolve_dataset(name))


def _unused_labels(dataset: RawDataset, checks: Sequence[CaseCheck]) -> Iterator[Finding]:
    if not any(check.label_values for check in checks):
        return
    seen = frozenset[int]().union(*(check.label_values for check in checks))
    for name, values in zip(dataset.labels.names, dataset.labels.values, strict=True):
        if not seen.intersection(values):
            cure = "a network cannot learn it: remove it from dataset.json, or check the conversion"
            yield Finding("warn", "dataset.json", f"no case holds the label '{name}'", cure)


def _copies(dataset: RawDataset, checks: Sequence[CaseCheck], workspace: Workspace) -> Iterator[Finding]:
    """Equal images in this data set, and in those checked earlier; declared overlap groups are no surprise."""
    groups = {case_id: entry.overlap_group for case_id, entry in dataset.spec.provenance.items() if entry.overlap_group}
    own = Signatures(cases={check.case_id: check.signature for check in checks}, overlap_groups=groups)
    yield from duplicates(own.cases, groups)
    for name in workspace.datasets():
        path = workspace.prepared(name) / SIGNATURES
        if name != dataset.name and path.is_file():
            yield from _shared(own, Signatures.load(path), name)
    if dataset.folder.parent == workspace.raw.resolve() or dataset.folder.parent == workspace.raw:
        own.save(workspace.prepared(dataset.name) / SIGNATURES)


def _shared(own: Signatures, other: Signatures, name: str) -> Iterator[Finding]:
    elsewhere: dict[str, list[str]] = {}
    for case_id, signature in sorted(other.cases.items()):
        elsewhere.setdefault(signature, []).append(case_id)
    for case_id, signature in sorted(own.cases.items()):
        group = own.overlap_groups.get(case_id)
        twins = elsewhere.get(signature, []) if signature else []
        undeclared = [twin for twin in twins if group is None or group != other.overlap_groups.get(twin)]
        if undeclared:
            yield Finding(
                "warn",
                case_id,
                f"its image equals that of {undeclared[0]} in {name}",
                "do not train on one and evaluate on the other; give both the same overlap_group",
            )


def _print(dataset: RawDataset, findings: Sequence[Finding], cases: Sequence[RawCase]) -> None:
    console = Console()
    failures = sum(finding.severity == "fail" for finding in findings)
    summary = f"{dataset.name}: {len(cases)} cases, {failures} to mend, {len(findings) - failures} to look at"
    if findings:
        table = Table("", "where", "what", "cure", title=summary, title_justify="left")
        for finding in findings:
            # Text, not strings: names may hold the brackets of rich's markup.
            table.add_row(*(Text(part) for part in (finding.severity, finding.where, finding.problem, finding.cure)))
        console.print(table)
    else:
        console.print(summary, markup=False)
