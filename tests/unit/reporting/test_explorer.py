"""The threshold slider's data: exact at every step, fine enough, and never more than the page can carry."""

import json

import numpy as np
import pytest

from raydr.grades import REFERABLE_GRADE
from raydr.metrics.evaluation import evaluate_dataset
from raydr.metrics.operating import OperatingPoint, at_threshold
from raydr.metrics.scored_images import ScoredImages
from raydr.reporting.explorer import explore

POINTS = (OperatingPoint("specificity_at_sensitivity_0.90", 1 / 3), OperatingPoint("youden", 0.123456789012))


def scored(num_images, *, seed=0, sharpness=1.0, grades=5):
    generator = np.random.default_rng(seed)
    grade = generator.integers(0, grades, num_images)
    return ScoredImages(
        image_id=np.arange(num_images).astype(str),
        patient=np.arange(num_images).astype(str),
        grade=grade,
        probability=1 / (1 + np.exp(sharpness * (2 - grade - generator.normal(size=num_images)))),
    )


def evaluated(*parts, points=POINTS):
    return [
        evaluate_dataset(f"set {place}", part, points, num_resamples=100, num_band_resamples=10)
        for place, part in enumerate(parts)
    ]


def test_counts_are_those_of_the_scores_at_every_step_of_the_slider():
    parts = [scored(500), scored(300, seed=1)]
    found = explore(evaluated(*parts))
    for place, part in enumerate(parts):
        for step in range(0, len(found.thresholds), 7):
            wanted = at_threshold(part.grade >= REFERABLE_GRADE, part.probability, found.thresholds[step])
            counts = found.counts(place, step)
            assert (counts.true_positives, counts.false_positives, counts.true_negatives, counts.false_negatives) == (
                wanted.true_positives,
                wanted.false_positives,
                wanted.true_negatives,
                wanted.false_negatives,
            )
            assert counts.shares["Sensitivity"] == pytest.approx(wanted.sensitivity.value)
            assert counts.shares["PPV"] == pytest.approx(wanted.ppv.value, nan_ok=True)


def test_thresholds_chosen_beforehand_are_steps_to_the_last_digit_and_youdens_is_where_it_starts():
    found = explore(evaluated(scored(500)))
    assert [found.thresholds[step.place] for step in found.steps] == [point.threshold for point in POINTS]
    assert [step.letter for step in found.steps] == ["A", "B"]
    assert found.start == found.steps[1].place


def test_no_step_jumps_over_a_hundredth_of_a_class_even_where_all_scores_lie_close_to_the_ends():
    found = explore(evaluated(scored(20_000, sharpness=6)))
    called = found.called[0]
    for part in (called[:REFERABLE_GRADE].sum(axis=0), called[REFERABLE_GRADE:].sum(axis=0)):
        assert np.abs(np.diff(part)).max() <= 0.01 * part[0]


def test_what_the_page_carries_does_not_grow_with_the_images():
    text = str(explore(evaluated(scored(50_000), scored(50_000, seed=1))).json())
    assert len(text) < 100_000
    assert json.loads(text)["called"][0][0][0] == int((scored(50_000).grade == 0).sum())
    assert "<" not in text


def test_without_a_usable_image_there_is_nothing_to_move_and_without_points_the_slider_starts_inside():
    ungraded = scored(50)
    ungraded.grade[:] = -1
    assert explore(evaluated(ungraded)) is None
    assert explore([]) is None
    free = explore(evaluated(scored(50), points=()))
    assert free.steps == ()
    assert 0 < free.start < len(free.thresholds)


def test_one_class_alone_has_calls_and_no_share_of_the_other():
    healthy = explore(evaluated(scored(50, grades=2)))
    shares = healthy.counts(0).shares
    assert np.isnan(shares["Sensitivity"])
    assert 0 <= shares["Specificity"] <= 1


def of_exams(part):
    """The same images two an exam, which has the truth of its first."""
    exam = np.array([f"exam {place // 2}" for place in range(len(part.grade))])
    return ScoredImages(
        image_id=part.image_id,
        patient=exam,
        grade=np.full(len(part.grade), -1),
        probability=part.probability,
        exam=exam,
        exam_referable=np.repeat(part.grade[::2] >= REFERABLE_GRADE, 2).astype(np.int64),
    )


def test_exams_of_one_class_are_called_and_counted():
    part = scored(50, grades=2)
    found = explore(evaluated(of_exams(part)))
    for step in range(len(found.thresholds)):
        counts = found.counts(0, step)
        called = int((part.probability.reshape(-1, 2).max(axis=1) >= found.thresholds[step]).sum())
        assert (counts.false_positives, counts.true_negatives) == (called, 25 - called)
        assert counts.true_positives == counts.false_negatives == 0


def test_where_exams_were_judged_the_calls_are_of_exams():
    part = scored(400)
    judged = of_exams(part)
    truth, probability = part.grade[::2] >= REFERABLE_GRADE, part.probability.reshape(-1, 2).max(axis=1)
    found = explore(evaluated(judged))
    for step in range(0, len(found.thresholds), 11):
        wanted = at_threshold(truth, probability, found.thresholds[step])
        counts = found.counts(0, step)
        assert (counts.true_positives, counts.false_positives) == (wanted.true_positives, wanted.false_positives)
        assert (counts.true_negatives, counts.false_negatives) == (wanted.true_negatives, wanted.false_negatives)
    assert found.by_grade(0) == []
