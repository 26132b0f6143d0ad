"""The HTML report: whole, self-contained, safe with any name, and in words where a figure is missing."""

import base64
import re

import pytest
from page_reader import Page
from reports import HOSTILE, bare, evaluation, full_report, of_exams

from raydr.reporting.report import render_report, write_report


@pytest.fixture(scope="module")
def page():
    return Page(render_report(full_report()))


def test_nothing_is_loaded_from_anywhere(page):
    assert page.loads_nothing()


def test_every_address_within_the_page_exists(page):
    assert page.has_every_target()


def test_every_data_set_shows_the_auc_of_every_model(page):
    for evaluations in full_report().models.values():
        for found in evaluations:
            value, interval = str(found.auc).split(" ", 1)
            assert value in page.text
            assert interval in page.text
    assert "Internal test" in page.text
    assert "not evaluated" in page.text  # the teacher on the second set


def test_the_paired_difference_of_the_two_models_stands_beside_the_first_ones_auc(page):
    assert "student − teacher: -0.020 [-0.050, +0.010] , p 0.200, on the same patients" in page.text


def test_images_left_out_are_told(page):
    assert "Left out: 3 without a score (unreadable), of 120 images." in page.text


def test_every_part_is_there(page):
    expected = (
        "Research use only, not a medical device; Sensitivity 0.90; Quadratic kappa; Brier score; 2 % of the labels; "
        "1 h 01 min; up to date; 9c1f; Leak audit; pretrain, train loss"
    )
    for words in expected.split("; "):
        assert words in page.text
    assert f"data:image/jpeg;base64,{base64.b64encode(bytes([0xFF, 0xD8]) + b'jpeg').decode()}" in page.addresses


def test_a_hostile_name_stays_text_wherever_it_stands(page):
    hostile = Page(render_report(full_report(HOSTILE)))
    assert sorted(set(hostile.tags)) == sorted(set(page.tags))
    assert hostile.tags.count("img") == page.tags.count("img") == 3
    assert not hostile.handlers
    assert "onerror=alert(1)" in hostile.text


def test_one_class_is_not_defined_in_words():
    healthy = Page(render_report(bare(evaluation("healthy", grade=0)))).text
    assert "AUC not defined" in healthy
    assert "All 117 images are non-referable" in healthy
    ill = Page(render_report(bare(evaluation("ill", grade=3)))).text
    assert "All 117 images are referable" in ill


def test_where_exams_were_judged_no_grade_is_spoken_of_and_exams_are_counted():
    page = Page(render_report(bare(of_exams("messidor"))))
    assert "60 exams (120 images) of 60 patients" in page.text
    assert "Judged by exam: the images have no grades of their own" in page.text
    assert "of grade 4" not in page.text
    assert "Counts are of exams" in page.text
    assert page.data[0]["first_referable"] == [1]


def test_missed_images_of_the_worst_grade_are_named(page):
    (student, _) = full_report().models["student"]
    names = student.missed_by_grade[4].image_ids
    assert names
    assert f"of grade 4 are missed: {', '.join(names)}." in page.text


def test_levels_groups_and_ungradable_images_have_their_rows(page):
    for words in ("By patient", "eye left 59", "camera another camera 78", "Ungradable means referred", "PPV at 8"):
        assert words in page.text


def test_a_set_without_a_usable_image_is_told():
    ungraded = Page(render_report(bare(evaluation("ungraded", grade=-1)))).text
    assert "No image has both a grade and a score" in ungraded
    assert "120 without a grade" in ungraded


def test_every_part_but_the_evaluation_may_be_missing():
    text = Page(render_report(bare(evaluation("only", five_grades=False)))).text
    assert "without the five grades" in text
    for part in ("Search", "Training", "Photographs", "Data", "Settings"):
        assert part not in text.split()


def test_a_run_without_an_evaluation_says_so():
    assert "has not evaluated a model" in Page(render_report(bare())).text


def test_figures_are_finite_even_where_the_data_are_not():
    for report in (full_report(), bare(evaluation("healthy", grade=0)), bare(evaluation("tiny", num_images=4))):
        drawn = render_report(report)
        assert not re.search(r"\b(nan|inf)\b", drawn.partition("<body>")[2].partition("<script>")[0].lower())


def test_the_file_is_written_whole_where_it_was_asked_for(tmp_path):
    write_report(str(tmp_path / "run" / "report.html"), full_report())
    written = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert written == render_report(full_report())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["report.html"]
