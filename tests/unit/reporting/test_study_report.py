"""The report of a study: whole, self-contained, safe with any name, and open about what is not known."""

import dataclasses
import math
import re

import pytest
from page_reader import Page
from studies import ARMS, BUDGETS, study_cells, study_report

from raydr.metrics.label_efficiency import VALIDATION, label_efficiency
from raydr.reporting.study_report import render_study_report, write_study_report

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page():
    return Page(render_study_report(study_report()))


def rendered(**changes):
    return Page(render_study_report(dataclasses.replace(study_report(), **changes)))


def test_nothing_is_loaded_and_every_address_exists(page):
    assert page.loads_nothing()
    assert page.has_every_target()


def test_every_mean_interval_and_difference_is_in_its_table(page):
    for row in label_efficiency(study_cells(), reference="imagenet"):
        words = f"{row.auc.mean:.3f}"
        if row.auc.num_draws > 1:
            words += f" [{row.auc.low:.3f}, {row.auc.high:.3f}]"
        else:
            words += f" ± {row.standard_error:.3f}"
        if row.difference:
            spread = row.difference.spread
            mean, low, high = (
                f"{value:+.3f}".replace("-", "\N{MINUS SIGN}") for value in (spread.mean, spread.low, spread.high)
            )
            many, one = f", {row.difference.num_same_sign} of 3 [{low}, {high}]", " ± 0.012"
            words += f" {mean}{many if row.auc.num_draws > 1 else one}"
        assert words in page.text, (row.arm, row.budget, words)


def test_one_draw_without_an_error_over_patients_says_that_it_is_one_and_two_say_both():
    cells = [
        dataclasses.replace(cell, standard_error=math.nan, difference_error=math.nan)
        for cell in study_cells(draws=2)
        if cell.dataset == VALIDATION
    ]
    text = rendered(cells=cells).text
    assert "one draw" in text
    assert "± nan" not in text
    row = next(row for row in label_efficiency(cells, reference="imagenet") if row.arm == "teacher")
    spread = row.difference.spread
    assert f"of 2 {spread.lowest:+.3f} to {spread.highest:+.3f}" in text.replace("\N{MINUS SIGN}", "-")


def test_choices_openings_time_and_machine_are_told(page):
    for words in (
        "The validation patients choose “default” with every number of labels.",
        "opened once by this study’s folder, on 2026-03-04 04:50",
        "beside them 710 labels of validation patients choose thresholds, C and, where an arm looks more than once",
        "pretraining, validation and test patients are the same in all",
        "2 cores, no GPU",
        "5 h 55 min",
        "logistic regression on frozen ImageNet features",
        "332 patients: a model’s AUC has a standard error of about 0.0",
    ):
        assert words in page.text, words


def test_bold_is_the_arm_that_the_validation_patients_choose_on_every_data_set_and_never_the_tests_highest():
    best = {"eyepacs192": "probe", VALIDATION: "teacher"}
    cells = [dataclasses.replace(c, auc=0.99) if best.get(c.dataset) == c.arm else c for c in study_cells()]
    source = rendered(cells=cells).source
    rows = re.findall(r'<tr><th scope="row">(\w+)</th>(.*?)</tr>', source, re.DOTALL)
    assert {arm for arm, row in rows if 'class="strong"' in row} == {"teacher"}
    assert source.count('class="strong"') == 3 * len(BUDGETS)


def test_several_seeds_of_a_draw_are_one_figure_of_it():
    cells = study_cells()
    twice = [
        dataclasses.replace(c, seed=seed, auc=c.auc + shift) for c in cells for seed, shift in ((0, 0.01), (1, -0.01))
    ]
    assert figures_of(rendered(cells=twice)) == figures_of(rendered(cells=cells))


def figures_of(found):
    return re.findall(r"\d\.\d{3}", found.source.partition('id="arms"')[0])


def test_two_figures_a_data_set_without_a_reference_one(page):
    assert page.source.count("<svg") == 6
    alone = rendered(reference=None)
    assert alone.source.count("<svg") == 3
    assert "imagenet on the same draws" not in alone.text


def test_a_cell_that_is_not_there_is_a_dash_and_its_reason_is_told():
    kept = [cell for cell in study_cells() if (cell.arm, cell.budget) != ("probe", "236")]
    failed = {f"probe/236/draw-{draw}/seed-0": "ValueError: it failed" for draw in range(3)}
    found = rendered(cells=kept, failed=failed)
    assert len(re.findall(r'title="not trained, or failed">–<', found.source)) == 3  # one a data set
    assert "Missing: probe/236/draw-0/seed-0, ValueError: it failed" in found.text
    assert "0.000" not in found.text


def test_an_arm_with_fewer_draws_than_others_says_so():
    kept = [cell for cell in study_cells() if not (cell.arm == "paper" and cell.draw == 2)]
    assert "· 2 draws" in rendered(cells=kept).text
    assert "· 2 draws" not in rendered().text


def test_of_very_many_failures_a_dozen_are_named():
    text = rendered(failed={f"probe/47/draw-{draw}/seed-0": "it failed" for draw in range(30)}).text
    assert text.count("Missing:") == 12
    assert "and 18 more; all are in result.json" in text


def test_closed_test_sets_leave_a_report_of_validation_patients():
    cells = [cell for cell in study_cells() if cell.dataset == VALIDATION]
    text = rendered(cells=cells, openings=()).text
    assert "The test sets are closed" in text
    assert "Test images" not in text
    assert "the best of many is a little flattered" in text


def test_a_choice_without_a_test_figure_says_whose_figure_it_shows():
    cells = [cell for cell in study_cells() if not (cell.arm == "default" and cell.dataset != VALIDATION)]
    assert rendered(cells=cells).text.count("on validation patients") == len(BUDGETS)


def test_a_hostile_name_stays_text_wherever_it_stands(page):
    report = study_report(HOSTILE)
    cells = [
        dataclasses.replace(cell, dataset=HOSTILE) if cell.dataset == "eyepacs192" else cell for cell in report.cells
    ]
    report = dataclasses.replace(
        report, cells=cells, machine=HOSTILE, digests={HOSTILE: HOSTILE}, failed={HOSTILE: HOSTILE}, study=HOSTILE
    )
    for reference in (HOSTILE, "imagenet"):
        hostile = Page(render_study_report(dataclasses.replace(report, reference=reference)))
        assert set(hostile.tags) <= set(page.tags)
        assert not hostile.handlers
        assert "onerror=alert(1)" in hostile.text


@pytest.mark.parametrize("change", ["none", "one", "undefined"])
def test_bare_studies_make_a_page_without_a_figure_that_is_none(change):
    cells = study_cells()
    kept = {
        "none": [],
        "one": cells[:1],
        "undefined": [dataclasses.replace(cell, auc=math.nan, standard_error=math.nan) for cell in cells],
    }[change]
    found = rendered(cells=kept, data=(), digests={}, seconds={}, settings="", machine="", openings=())
    assert not re.search(r"\b(nan|inf)\b", found.source.partition("<body>")[2].lower())
    assert found.has_every_target()


def test_the_order_of_the_cells_changes_no_figure():
    cells = study_cells()
    by_draw = sorted(cells, key=lambda cell: -cell.draw)
    assert render_study_report(study_report(cells=by_draw)) == render_study_report(study_report())
    assert len({cell.arm for cell in cells}) == len(ARMS)


def test_the_file_is_written_whole_where_it_was_asked_for(tmp_path):
    write_study_report(str(tmp_path / "study" / "report.html"), study_report())
    assert (tmp_path / "study" / "report.html").read_text(encoding="utf-8") == render_study_report(study_report())
