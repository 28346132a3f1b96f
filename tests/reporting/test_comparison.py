"""Methods side by side: common cases, differences, tables and the figure."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from autoseg.core.errors import DatasetError
from autoseg.metrics.aggregate import summarise
from autoseg.reporting.comparison import METRICS, Entry, compare
from autoseg.reporting.comparison_figure import draw_comparison
from autoseg.reporting.comparison_table import comparison_csv, comparison_markdown, cost_texts, print_comparison
from autoseg.reporting.figure import COLOURS
from autoseg.reporting.run_costs import Costs

COSTS = Costs(parameters=12_300_000, seconds_per_step=0.25, peak_memory_bytes=3 * 2**29)


@pytest.fixture
def entries(scored_cases):
    """Two that came to an end on cases that are not all the same, and one that did not."""
    first = scored_cases(liver=(0.8, 0.9, 0.7), tumour=(0.1, None, 0.3))
    second = scored_cases(liver=(0.5, 0.6, 0.4, 0.9), tumour=(0.4, None, 0.6, 0.9))
    return [
        Entry("plain", "3d_fullres", 1.0, first, COSTS),
        Entry("broken", "3d_fullres", 1.0, problem="it fell over"),
        Entry("other", "3d_fullres", 1.0, second, COSTS),
    ]


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_only_common_cases_are_compared(entries):
    found = compare("Dataset001_X", entries)
    assert found.case_ids == ("case_0", "case_1", "case_2")
    assert found.regions == ("mean", "liver", "tumour")
    assert found.rows[2].summary == summarise(entries[2].cases[:3])
    assert found.rows[0].gain == {}
    assert found.rows[2].gain["liver"].mean == pytest.approx(-0.3)
    assert found.rows[2].gain["tumour"].mean == pytest.approx(0.3)
    assert found.rows[2].gain["mean"].mean == pytest.approx(0.0)


def test_regions_that_one_lacks_are_left_out(scored_cases):
    found = compare(
        "D", [Entry("a", cases=scored_cases(liver=(0.5,), spleen=(0.5,))), Entry("b", cases=scored_cases(liver=(0.6,)))]
    )
    assert found.regions == ("mean", "liver")
    assert found.rows[0].summary["mean"]["dice"].mean == 0.5


def test_nothing_in_common_is_an_error(scored_cases):
    one, other = scored_cases(liver=(0.5, 0.6)), scored_cases(spleen=(0.5, 0.6))
    with pytest.raises(DatasetError, match="no regions in common: give them the same folds and labels"):
        compare("D", [Entry("a", cases=one), Entry("b", cases=other)])
    with pytest.raises(DatasetError, match="no held-out cases in common"):
        compare("D", [Entry("a", cases=one[:1]), Entry("b", cases=one[1:])])


def test_names_tell_what_differs(scored_cases):
    cases = scored_cases(liver=(0.5, 0.6))
    alone = compare("D", [Entry("a", "2d", 1.0, cases), Entry("b", "2d", 1.0, cases)])
    assert alone.names() == ("a", "b")
    several = compare("D", [Entry("a", "2d", 0.25, cases), Entry("a", "3d_fullres", 1.0, cases)])
    assert several.names() == ("a 2d, 25 % of the cases", "a 3d_fullres")


def test_the_csv_holds_every_number(entries):
    rows = rows_of(comparison_csv(compare("D", entries)))
    assert [(row["method"], row["region"]) for row in rows] == [
        *(("plain", region) for region in ("mean", "liver", "tumour")),
        ("broken", ""),
        *(("other", region) for region in ("mean", "liver", "tumour")),
    ]
    liver = rows[5]
    assert float(liver["dice"]) == pytest.approx(0.5)
    assert float(liver["dice_low"]) <= 0.5 <= float(liver["dice_high"])
    assert float(liver["dice_gain"]) == pytest.approx(-0.3)
    assert {float(liver[metric]) for metric in METRICS} != {0.0}
    assert (liver["parameters"], liver["peak_memory_bytes"], liver["cases"]) == ("12300000", str(3 * 2**29), "3")
    assert rows[6]["hd95_mm_cases"] == "2"
    assert rows[3]["problem"] == "it fell over"
    assert rows[3]["dice"] == ""


def test_markdown_has_intervals_and_reasons(entries):
    text = comparison_markdown(compare("D", entries))
    assert "3 trainings compared on 3 held-out cases" in text
    tables = [block for block in text.split("## ") if "|" in block]
    assert [block.splitlines()[0] for block in tables] == [
        "Mean of the regions",
        "liver",
        "tumour",
        "Costs of training",
    ]
    assert "| plain | 0.800 [0.700, 0.900] |" in tables[1]
    assert "| 0.200 [0.100, 0.300] (2) |" in tables[2], "two cases have a tumour"
    assert "| plain | 12.3 M | 0.25 s | 1.50 GiB |" in tables[3]
    assert "- broken has no scores: it fell over" in text
    for block in tables:
        assert len({line.count("|") for line in block.splitlines() if line.startswith("|")}) == 1


def test_the_terminal_shows_one_line_per_method(entries):
    console = Console(file=io.StringIO())
    print_comparison(compare("D", entries), console)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "D: 3 held-out cases"
    assert lines[1].split()[:1] == ["Dice"]
    assert [line.split()[0] for line in lines[2:5]] == ["plain", "broken", "other"]
    assert lines[3].split() == ["broken", *"-" * 13]
    assert lines[4].split()[:5] == ["other", "0.500", *lines[4].split()[2:5]]
    assert lines[-1] == "broken has no scores: it fell over"


@pytest.mark.parametrize(("width", "heads"), [(200, {"plain", "broken", "other"}), (80, {"Dice", "IoU", "memory"})])
def test_a_narrow_terminal_turns_the_table(entries, width, heads):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    print_comparison(compare("D", entries), console)
    lines = console.file.getvalue().splitlines()
    assert heads <= {line.split()[0] for line in lines if line.strip()}
    assert max(map(len, lines)) <= width


def test_costs_that_are_not_known_are_said():
    assert cost_texts(None) == ("-", "-", "-")
    assert cost_texts(Costs(parameters=1500, seconds_per_step=None, peak_memory_bytes=None)) == ("0.0015 M", "-", "-")


def test_the_figure_shows_regions_and_shares(tmp_path, scored_cases, share_of, entries):
    draw_comparison(compare("Dataset001_X", entries), tmp_path / "a.png")
    for colour in COLOURS[:2]:
        assert share_of(tmp_path / "a.png", colour) > 0.0003, "liver and tumour"
    shares = [
        Entry(method, "2d", fraction, scored_cases(liver=(0.5 * fraction, 0.9 * fraction)), COSTS)
        for method in ("a", "b")
        for fraction in (0.5, 1.0)
    ]
    draw_comparison(compare("Dataset001_X", shares), tmp_path / "b.png")
    assert share_of(tmp_path / "b.png", COLOURS[2]) > 3e-5, "the curve of the first method"
    undefined = [Entry("a", cases=scored_cases(liver=(None, None))), Entry("b", problem="no")]
    draw_comparison(compare("Dataset001_X", undefined), tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 5000
