"""The report of a search alone: whole, self-contained, safe with any name, and open about what is not known."""

import dataclasses
import re
from datetime import UTC, datetime

import pytest
from page_reader import Page

from raydr.reporting.search_report import Refit, SearchReport, Trial, render_search_report, write_search_report

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def report(name="weak", *, num_refits=3):
    trials = [
        Trial(
            place + 1,
            {"optim.rate": 10.0 ** -(place % 5), "augment": name if place % 2 else "strong"}
            | ({"sharp": place / 10} if place % 3 else {}),
            None if place == 5 else 0.80 + 0.01 * place,
            place % 4 + 1,
            "failed" if place == 5 else "finished" if place % 4 == 3 else "stopped",
            None if place == 5 else 0.02,
            place in (9, 10, 11),
        )
        for place in range(12)
    ]
    refits = [Refit(7 + number, 0.85 + 0.01 * number, 0.02, 3, 5, number == 1) for number in range(num_refits)]
    curve = [{"epoch": epoch, "loss": 1.0 / (epoch + 1), "val_auc": 0.8, "val_auc_se": 0.02} for epoch in range(3)]
    data = [{"dataset": name, "split": "val", "images": 120, "patients": 60} | {f"grade_{n}": n for n in range(5)}]
    return SearchReport(
        title=f"Search {name}",
        created=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        trials=trials,
        refits=refits,
        num_patients=60,
        num_images=120,
        full_grid_epochs=48,
        seconds={"teacher": 12.0, "trials": 3700.0},
        curve=curve,
        data=data,
        settings=f'out = "{name}"\n',
        digests={"manifest": "9c1f"},
    )


@pytest.fixture(scope="module")
def page():
    return Page(render_search_report(report()))


def test_nothing_is_loaded_and_every_address_exists(page):
    assert page.loads_nothing()
    assert page.has_every_target()


def test_the_objective_its_patients_and_its_error_are_told(page):
    for words in (
        "60 validation patients (120 images)",
        "No test image took part",
        "± 0.020 on the validation patients, seed 8, at full length",
        "of 12 trials, the best one among them, lie within one standard error of it",
        "30 of 48, had no trial been stopped",
    ):
        assert words in page.text, words


def test_the_trials_that_are_not_told_apart_are_marked_in_the_table(page):
    assert page.text.count("≈ best") == 2  # the best one itself needs no mark
    rows = re.findall(r"Trial (\d+) (≈ best )?0", page.text)
    assert [number for number, mark in rows if mark] == ["11", "10"]


def test_every_refit_is_told_with_mean_and_spread_and_which_is_kept(page):
    assert "AUC 0.860 on average, standard deviation 0.010." in page.text
    assert re.search(r"Seed 8 kept 0\.860 ± 0\.020 3 of 5", page.text)


def test_a_single_refit_claims_no_spread():
    text = Page(render_search_report(dataclasses.replace(report(), refits=[Refit(0, 0.8, 0.02, 3, 5, True)]))).text
    assert "standard deviation" not in text
    assert "median" not in text


def test_settings_are_shown_as_parallel_coordinates_slices_and_importance(page):
    assert page.source.count('<svg class="parallel"') == 1
    assert page.source.count('<svg class="bars"') == 1
    assert page.source.count('aria-label="Validation AUC of the trials by') == 3
    assert page.source.count('class="thread best"') == 1
    assert page.source.count('class="thread close"') == 2


def test_a_hostile_name_stays_text_wherever_it_stands(page):
    hostile = Page(render_search_report(report(HOSTILE)))
    assert sorted(set(hostile.tags)) == sorted(set(page.tags))
    assert not hostile.handlers
    assert "onerror=alert(1)" in hostile.text


def test_two_trials_make_a_page_without_importance():
    few = dataclasses.replace(report(), trials=report().trials[:2], refits=(), curve=(), data=())
    text = Page(render_search_report(few)).text
    assert "Importance" not in text
    assert "Refits" not in text


@pytest.mark.parametrize("trials", [12, 2])
def test_figures_are_finite_even_where_the_data_are_not(trials):
    found = dataclasses.replace(report(), trials=report().trials[:trials])
    drawn = render_search_report(found).partition("<body>")[2].lower()
    assert not re.search(r"\b(nan|inf)\b", drawn)


def test_the_file_is_written_whole_where_it_was_asked_for(tmp_path):
    write_search_report(str(tmp_path / "search" / "report.html"), report())
    assert (tmp_path / "search" / "report.html").read_text(encoding="utf-8") == render_search_report(report())
