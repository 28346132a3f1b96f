"""Tables of a report."""

from __future__ import annotations

import io

from rich.console import Console

from autoseg.reporting.tables import print_report, report_csv, report_text
from autoseg.specs.report import CaseScores, Report, Score, Summary

UNDEFINED = Score(value=None, reason="empty in both")


def report() -> Report:
    return Report(
        protocol="autoseg",
        definitions={},
        cases=(
            CaseScores(id="a", regions={"liver": {"dice": Score(value=0.123456789012), "nsd": UNDEFINED}}),
            CaseScores(id="b, c", regions={"liver": {"dice": Score(value=1.0)}}),
        ),
        summary={
            "liver": {
                "dice": Summary(mean=0.5617, median=0.5617, ci95=(0.1235, 1.0), cases=2),
                "nsd": Summary(mean=None, median=None, ci95=None, cases=0, undefined={"empty in both": 2}),
            }
        },
    )


def test_csv_quotes_names_and_leaves_undefined_cells_empty() -> None:
    assert report_csv(report()) == 'case,region,dice,nsd\na,liver,0.123456789,\n"b, c",liver,1,\n'


def test_plain_text_is_aligned_and_says_what_is_left_out() -> None:
    header, row, note = report_text(report()).splitlines()
    assert header.split() == ["region", "dice", "nsd", "dice", "ci95"]
    assert row.split() == ["liver", "0.5617", "-", "0.1235..1.0000"]
    assert len(header) == len(row)
    assert note == "liver: 2 of 2 cases empty in both, not in the mean of nsd"


def test_a_terminal_gets_a_drawn_table_and_a_pipe_plain_text() -> None:
    drawn, plain = io.StringIO(), io.StringIO()
    print_report(report(), Console(file=drawn, force_terminal=True, width=120))
    print_report(report(), Console(file=plain))
    assert "2 cases, protocol autoseg" in drawn.getvalue()
    assert "0.5617" in drawn.getvalue()
    assert "\x1b[" in drawn.getvalue()
    assert plain.getvalue() == report_text(report())


def test_scores_of_the_whole_set_and_of_lesions_are_shown() -> None:
    one = Summary(mean=0.25, median=None, ci95=None, cases=1)
    names = ("lesion_recall_gt50", "detected_dice", "lesionwise_hd95_mm", "dice_global", "lesionwise_dice")
    summary = {"lesion": dict.fromkeys(names, one)}
    header = report_text(Report(protocol="x", definitions={}, cases=(), summary=summary)).split()[:6]
    assert header == ["region", "dice_global", "lesionwise_dice", "lesionwise_hd95_mm", "lesion_recall_gt50", "cases"]


def test_reports_of_other_protocols_show_what_they_have() -> None:
    summary = {"liver": {"voe": Summary(mean=0.25, median=0.25, ci95=None, cases=1)}}
    text = report_text(Report(protocol="x", definitions={}, cases=(), summary=summary))
    assert text.split() == ["region", "voe", "cases", "liver", "0.2500", "0"]
