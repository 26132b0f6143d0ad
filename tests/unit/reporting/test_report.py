"""The HTML report: whole, self-contained, safe with any name, and in words where a figure is missing."""

import base64
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from page_reader import Page

from raydr.metrics.evaluation import evaluate_dataset
from raydr.metrics.operating import OperatingPoint
from raydr.metrics.scored_images import ScoredImages
from raydr.reporting.report import Report, ScoredPicture, Stage, Trial, render_report, write_report

POINTS = (OperatingPoint("youden", 0.5), OperatingPoint("specificity_at_sensitivity_0.90", 0.3))
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def evaluation(name, *, seed=0, grade=None, five_grades=True, num_images=120):
    generator = np.random.default_rng(seed)
    grades = generator.integers(0, 5, num_images) if grade is None else np.full(num_images, grade)
    probability = 1 / (1 + np.exp(2 - grades - generator.normal(size=num_images)))
    probability[:3] = np.nan
    scored = ScoredImages(
        image_id=np.arange(num_images).astype(str),
        patient=(np.arange(num_images) // 2).astype(str),
        grade=grades,
        probability=probability,
        grade_probability=generator.dirichlet(np.ones(5), num_images) if five_grades else None,
    )
    return evaluate_dataset(name, scored, POINTS, num_resamples=100, num_band_resamples=50)


def full_report(name="eyepacs test"):
    students = [evaluation(name), evaluation("external clinic", seed=1)]
    return Report(
        title=f"Run {name}",
        created=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        models={"student": students, "teacher": [evaluation(name, seed=2, five_grades=False)]},
        internal=name,
        stages=[Stage("index", 2.4, name), Stage("pretrain", 3700, is_up_to_date=True), Stage("search", 3700)],
        trials=[
            Trial(place, {"rate": 10.0**-place, "kind": name}, 0.7 + 0.01 * place if place else None, 3, "completed")
            for place in range(12)
        ],
        curves={"pretrain": [{"epoch": 1, "train_loss": 3.0, name: 1.0}, {"epoch": 2, "train_loss": 2.0}]},
        data=[
            {"dataset": name, "split": "train", "images": 1234, "patients": 617}
            | {f"grade_{grade}": grade for grade in range(5)}
        ],
        budget="2 % of the labels",
        audit=[f"{name} is clean"],
        settings=f'out = "{name}"\n',
        environment={"torch": "2.14", name: name},
        digests={"manifest": "9c1f"},
        worst_errors=[ScoredPicture(name, name, b"\xff\xd8jpeg", 0.98, 0)],
    )


def bare(*evaluations):
    return Report("Bare", datetime(2026, 1, 1, tzinfo=UTC), {"student": evaluations} if evaluations else {})


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
    assert hostile.tags.count("img") == page.tags.count("img") == 1
    assert not hostile.handlers
    assert "onerror=alert(1)" in hostile.text


def test_one_class_is_not_defined_in_words():
    healthy = Page(render_report(bare(evaluation("healthy", grade=0)))).text
    assert "AUC not defined" in healthy
    assert "All 117 images are non-referable" in healthy
    ill = Page(render_report(bare(evaluation("ill", grade=3)))).text
    assert "All 117 images are referable" in ill


def test_a_set_without_a_usable_image_is_told():
    ungraded = Page(render_report(bare(evaluation("ungraded", grade=-1)))).text
    assert "No image has both a grade and a score" in ungraded
    assert "120 without a grade" in ungraded


def test_every_part_but_the_evaluation_may_be_missing():
    text = Page(render_report(bare(evaluation("only", five_grades=False)))).text
    assert "without the five grades" in text
    for part in ("Search", "Training", "Worst errors", "Data", "Settings"):
        assert part not in text.split()


def test_a_run_without_an_evaluation_says_so():
    assert "has not evaluated a model" in Page(render_report(bare())).text


def test_figures_are_finite_even_where_the_data_are_not():
    for report in (full_report(), bare(evaluation("healthy", grade=0)), bare(evaluation("tiny", num_images=4))):
        drawn = render_report(report)
        assert not re.search(r"\b(nan|inf)\b", drawn.partition("<body>")[2].lower())


def test_the_file_is_written_whole_where_it_was_asked_for(tmp_path):
    write_report(str(tmp_path / "run" / "report.html"), full_report())
    written = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert written == render_report(full_report())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["report.html"]
