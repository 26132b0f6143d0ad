"""The report of a comparison: whole, self-contained, safe with any name, and open about what is not known."""

import dataclasses
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from page_reader import Page

from raydr.metrics.comparison import AucDifference, auc_difference
from raydr.metrics.roc import roc_curve
from raydr.reporting.compare_report import (
    ComparedDataset,
    CompareReport,
    p_text,
    render_compare_report,
    verdict,
    write_compare_report,
)

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def compared(name, gap, *, one_class=False):
    """A data set on which A's scores are less noisy than B's by ``gap``."""
    generator = np.random.default_rng(3)
    truth = np.zeros(300, bool) if one_class else generator.random(300) < 0.3
    scores = [truth + generator.normal(0, spread, 300) for spread in (1.0, 1.0 + gap)]
    difference = auc_difference(truth, *scores, np.arange(300) // 2)
    return ComparedDataset(name, difference, None if one_class else tuple(roc_curve(truth, each) for each in scores))


def report(*datasets, split="test", left_out=(), first="runs/a", title="a or b", method="delong"):
    return CompareReport(
        title=title,
        created=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        first=first,
        second="runs/b",
        split=split,
        method=method,
        datasets=datasets,
        left_out=left_out,
        settings='job = "compare"\n',
        digests={"first": "9c1f"},
    )


@pytest.fixture(scope="module")
def datasets():
    return compared("here", 2.0), compared("elsewhere", 0.0), compared("alone", 1.0, one_class=True)


@pytest.fixture(scope="module")
def page(datasets):
    return Page(render_compare_report(report(*datasets, left_out=["left out images: 3 only in A"])))


def test_nothing_is_loaded_and_every_address_exists(page):
    assert page.loads_nothing()
    assert page.has_every_target()


def test_difference_interval_p_and_both_areas_of_every_data_set_are_there(page, datasets):
    for found in datasets[:2]:
        figures = found.difference
        for words in (str(figures), f"{figures.first:.3f}", f"{figures.second:.3f}", verdict(figures)):
            assert words in page.text, words
        assert f"[{figures.low:+.3f}, {figures.high:+.3f}]" in page.text
    assert "300 images of 150 patients" in page.text
    assert "Left out images: 3 only in A." in page.text


def test_one_class_is_told_and_nothing_is_drawn_for_it(page):
    assert "An AUC compares two classes, and these 300 images are of one." in page.text
    assert "The curves are not defined" in page.text
    assert len(re.findall(r'class="whisker', page.source)) == 2
    assert page.source.count('class="curve') == 4
    assert "nan" not in page.text.lower().split()


def test_a_comparison_of_one_class_alone_is_a_page(datasets):
    text = Page(render_compare_report(report(datasets[2]))).text
    assert "Not defined" in text
    assert "no p is corrected" not in text


def test_the_forest_puts_the_line_of_no_difference_where_zero_is(datasets):
    source = render_compare_report(report(*datasets))
    zero = float(re.search(r'<line class="stem" x1="([\d.]+)"', source)[1])
    dots = [float(x) for x in re.findall(r'<circle class="mark model-0" cx="([\d.]+)"', source)]
    assert len(dots) == 2
    assert [dot > zero for dot in dots] == [found.difference.value > 0 for found in datasets[:2]]


def test_that_test_images_are_not_to_choose_by_is_said_of_test_images_only(datasets):
    assert "would use them up" in Page(render_compare_report(report(datasets[0]))).text
    assert "would use them up" not in Page(render_compare_report(report(datasets[0], split="val"))).text


def test_what_was_judged_and_how_the_interval_was_made_are_told(datasets):
    text = Page(render_compare_report(report(datasets[0]))).text
    assert "Obuchowski" in text
    assert "Each exam" not in text
    of_exams = dataclasses.replace(datasets[0], unit="exam")
    text = Page(render_compare_report(report(of_exams, method="bootstrap"))).text
    assert "a bootstrap that resamples them" in text
    assert "Obuchowski" not in text
    assert "exams referable. Each exam has the largest score of its images." in text


def test_names_are_text_whatever_they_are():
    page = Page(render_compare_report(report(compared(HOSTILE, 1.0), first=HOSTILE, title=HOSTILE)))
    assert not page.handlers
    assert page.loads_nothing()
    assert "alert('x')" in page.text


def _difference(value, low, high, p_value):
    return AucDifference(value, low, high, 0.95, p_value, 0.8, 0.8 - value, 9, 9, 3)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((0.02, 0.001, 0.03, 0.04), ("+0.020 [+0.001, +0.030]", "0.040", "A ranks better")),
        ((-0.02, -0.03, -0.001, 0.00002), ("-0.020 [-0.030, -0.001]", "<0.001", "B ranks better")),
        ((0.0, 0.0, 0.0, 1.0), ("+0.000 [+0.000, +0.000]", "1.000", "not told apart")),
        ((0.5, np.nan, np.nan, np.nan), ("+0.500", "-", "not defined")),
        ((np.nan, np.nan, np.nan, np.nan), ("not defined", "-", "not defined")),
    ],
)
def test_figures_are_quoted_with_signs_and_p_is_never_nought(bounds, words):
    difference = _difference(*bounds)
    assert (str(difference), p_text(difference), verdict(difference)) == words


def test_the_page_is_written_whole(tmp_path, datasets):
    write_compare_report(str(tmp_path / "report.html"), report(*datasets))
    assert (tmp_path / "report.html").read_text() == render_compare_report(report(*datasets))
