"""What the report says was found: chosen by validation patients, told of test patients, and open about the openings."""

import dataclasses
from datetime import UTC, datetime

import pytest
from studies import study_cells

from raydr.metrics.label_efficiency import VALIDATION, StudyCell, label_efficiency
from raydr.reporting.study_findings import Opening, chosen, findings, openings_told, saving


def rows(figures):
    """Of {(arm, labels): (validation AUC, test AUC or None)}."""
    cells = [
        StudyCell(arm, str(labels), labels, 0, 0, dataset, auc, 0.02, 0, 1, 9, 9, 4, 1)
        for (arm, labels), aucs in figures.items()
        for dataset, auc in zip((VALIDATION, "clinic"), aucs, strict=True)
        if auc is not None
    ]
    return label_efficiency(cells, reference="imagenet")


def opened(day, study):
    return Opening(datetime(2026, 3, day, tzinfo=UTC), study, 9)


def test_the_arm_is_chosen_by_validation_patients_and_told_of_test_patients():
    found = findings(rows({("imagenet", 95): (0.7, 0.9), ("student", 95): (0.8, 0.6)}))
    assert [(finding.validation.arm, finding.shown.dataset, finding.shown.auc.mean) for finding in found] == [
        ("student", "clinic", 0.6)
    ]


def test_while_the_test_sets_are_closed_the_validation_figures_are_told():
    found = findings(rows({("imagenet", 95): (0.7, None), ("student", 95): (0.8, None)}))
    assert [(finding.test, finding.shown.auc.mean) for finding in found] == [(None, 0.8)]


def test_of_several_test_sets_the_first_one_is_told():
    found = findings(label_efficiency(study_cells()))
    assert {finding.test.dataset for finding in found} == {"eyepacs192"}
    assert {finding.validation.dataset for finding in found} == {VALIDATION}


def test_a_test_figure_moves_no_choice():
    cells = study_cells()
    worse = [c if c.dataset == VALIDATION else dataclasses.replace(c, auc=1 - c.auc) for c in cells]
    first, second = (
        [(found.budget.name, found.validation.arm) for found in findings(label_efficiency(each))]
        for each in (cells, worse)
    )
    assert first == second


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({("a", 47): 0.7}, "The validation patients choose “a” with 47 labels."),
        ({("a", 47): 0.7, ("a", 95): 0.7}, "The validation patients choose “a” with every number of labels."),
        (
            {("a", 47): 0.7, ("a", 95): 0.7, ("b", 236): 0.7, ("a", 473): 0.7},
            "The validation patients choose “a” with 47, 95 and 473 labels and “b” with 236 labels.",
        ),
        ({}, ""),
    ],
)
def test_the_choices_are_one_sentence(figures, words):
    assert chosen(findings(rows({key: (auc, None) for key, auc in figures.items()}))) == words


def drawn(figures):
    """Of {(arm, labels): (validation AUC, test AUCs of the draws)}."""
    cells = [
        StudyCell(arm, str(labels), labels, draw, 0, dataset, auc, 0.02, 0, 1, 9, 9, 4, 1)
        for (arm, labels), (validation, tests) in figures.items()
        for draw, test in enumerate(tests)
        for dataset, auc in ((VALIDATION, validation), ("clinic", test))
    ]
    return label_efficiency(cells, reference="imagenet")


FULL = {("imagenet", 95): (0.6, [0.65]), ("imagenet", 4016): (0.6, [0.77, 0.78, 0.79])}


def test_the_fewest_labels_with_which_a_chosen_arm_surely_reaches_the_reference_arm_are_told_with_the_interval():
    student = {("student", 95): (0.8, [0.70] * 3), ("student", 236): (0.8, [0.60, 0.85, 0.99])}
    sure = {("student", 473): (0.8, [0.795, 0.80, 0.805])}
    # An arm that validation does not choose is of no use, however high its test figure.
    lucky = {("lucky", 95): (0.5, [0.99] * 3)}
    assert saving(drawn({**FULL, **student, **sure, **lucky}), "imagenet") == (
        "With 473 labels “student” reaches (0.800; mean of 3 draws, [0.788, 0.812]) what “imagenet” reaches with "
        "4\N{NARROW NO-BREAK SPACE}016 (0.780; mean of 3 draws, [0.755, 0.805]) on clinic."
    )
    assert saving(drawn({**FULL, **lucky}), "imagenet").startswith("No arm chosen so reaches with fewer labels")


@pytest.mark.parametrize(
    ("tests", "why"),
    [([0.60, 0.85, 0.99], "has an interval that reaches below"), ([0.9, 0.91], "has no interval"), ([0.9], "has no")],
)
def test_no_saving_is_claimed_where_the_interval_reaches_below_or_there_is_none(tests, why):
    told = saving(drawn({**FULL, ("student", 236): (0.8, tests)}), "imagenet")
    assert told.startswith("With 236 labels the mean of “student” (0.")
    assert f"but it {why}" in told
    assert told.endswith("that labels are saved is not shown.")


def test_no_saving_is_claimed_beside_a_single_network_with_all_labels():
    alone = {**FULL, ("imagenet", 4016): (0.6, [0.78])}
    told = saving(drawn({**alone, ("student", 473): (0.8, [0.795, 0.80, 0.805])}), "imagenet")
    assert told.startswith(
        "With 473 labels the mean of “student” (0.800; mean of 3 draws, [0.788, 0.812]) is not below"
    )
    assert told.endswith("but it is set beside 1 training alone: that labels are saved is not shown.")


def test_a_chosen_arm_that_has_no_test_figure_is_not_compared_by_its_validation_figure():
    figures = {("imagenet", 95): (0.6, 0.65), ("imagenet", 473): (0.6, 0.7), ("student", 95): (0.9, None)}
    assert saving(rows(figures), "imagenet").startswith("No arm chosen so")


def test_without_a_reference_or_with_one_number_of_labels_no_saving_is_claimed():
    figures = {("imagenet", 95): (0.6, 0.65), ("student", 95): (0.7, 0.75)}
    assert saving(rows(figures), "imagenet") == ""
    assert saving(rows({**figures, ("imagenet", 473): (0.7, 0.8)}), None) == ""
    assert saving((), "imagenet") == ""


def test_closed_test_sets_are_said_to_be_closed():
    (told,) = openings_told([], "these")
    assert told.startswith("The test sets are closed")


def test_a_single_opening_is_told_as_such():
    assert openings_told([opened(4, "these")], "these") == [
        "The test sets have been opened once by this study’s folder, on 2026-03-04 00:00.",
        "No other settings have been opened there; what was looked at in other folders it does not know.",
    ]
    assert "No other settings" in " ".join(openings_told([opened(4, "these"), opened(5, "these")], "these"))


def test_an_opening_with_other_settings_before_these_is_told_in_plain_words():
    told = " ".join(openings_told([opened(1, "first"), opened(2, "second"), opened(4, "these")], "these"))
    assert "opened 3 times by this study’s folder, first on 2026-03-01 00:00 and last on 2026-03-04 00:00" in told
    assert "opened before with other settings, last on 2026-03-02 00:00 (second)" in told
    assert "what was chosen since then was chosen with their figures in reach" in told
    assert "No other settings" not in told


@pytest.mark.parametrize("studies", [("these", "others", "these"), ("these", "others")])
def test_to_come_back_to_settings_after_others_were_opened_is_told_as_a_choice(studies):
    told = " ".join(openings_told([opened(day, study) for day, study in enumerate(studies, 1)], "these"))
    assert "opened with other settings as well, last on 2026-03-02 00:00 (others), after these" in told
    assert "with those figures in reach" in told
    assert "No other settings" not in told


def test_settings_that_never_opened_them_themselves_are_told_of_others():
    assert "opened before with other settings, last on 2026-03-01" in " ".join(
        openings_told([opened(1, "others")], "these")
    )
