"""What reaches the student of its teacher's outputs: gates and the prevalence of the pool."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from raydr.config.distillation import DistillationSettings
from raydr.engine.context import LocalContext
from raydr.errors import InputError
from raydr.learning.distil import Teaching, targets_of
from raydr.metrics.roc import auc
from raydr.pseudolabels import probabilities


def targets(tmp_path, logits, labelled=(), head="binary", fellow=None, **settings):
    return targets_of(
        DistillationSettings(**settings),
        Teaching(logits, head, fellow=fellow),
        np.array(labelled, np.int64),
        LocalContext(tmp_path),
    )


def balanced_teacher(num_images=20_000, prevalence=0.2):
    draw = np.random.default_rng(0)
    is_ill = draw.random(num_images) < prevalence
    return (2 * draw.normal(np.where(is_ill, 1.0, -1.0), 1.0))[:, None].astype(np.float32)


def test_without_gate_or_correction_the_outputs_are_the_teachers(tmp_path):
    logits = np.array([[0.5], [np.nan], [-2.0]], np.float32)
    found = targets(tmp_path, logits)
    np.testing.assert_array_equal(found.logits.numpy(), logits)
    assert (found.share, found.shift.tolist()) == (1, [0])


def test_a_teacher_of_a_balanced_draw_is_put_right_for_the_pools_prevalence(tmp_path):
    found = targets(tmp_path, balanced_teacher(), correct_prior="balanced")
    assert probabilities(found.logits.numpy())[:, 1].mean() == pytest.approx(0.2, abs=0.015)
    np.testing.assert_allclose(found.logits.numpy(), balanced_teacher() + found.shift.numpy(), atol=1e-6)


def test_the_labels_frequencies_are_those_a_teacher_of_an_unbalanced_draw_was_trained_at(tmp_path):
    by_labels = targets(tmp_path, balanced_teacher(), labelled=[0] * 50 + [3] * 50, correct_prior="labelled")
    balanced = targets(tmp_path, balanced_teacher(), correct_prior="balanced")
    torch.testing.assert_close(by_labels.logits, balanced.logits, rtol=1e-3, atol=1e-3)
    skewed = targets(tmp_path, balanced_teacher(), labelled=[0] * 90 + [3] * 10, correct_prior="labelled")
    assert (skewed.logits - balanced.logits).abs().min() > 0.5


def test_five_grades_are_put_right_even_where_a_grade_has_no_label(tmp_path):
    logits = np.random.default_rng(0).normal(size=(500, 5)).astype(np.float32)
    found = targets(tmp_path, logits, labelled=[0, 0, 0, 2, 2, 4], head="grades", correct_prior="labelled")
    assert found.logits.isfinite().all()
    assert not np.allclose(found.logits.numpy(), logits)


def test_a_gate_leaves_the_surest_and_says_how_many(tmp_path):
    logits = np.array([[4.0], [3.0], [-1.0], [-5.0], [np.nan]], np.float32)
    found = targets(tmp_path, logits, kept_share=0.5)
    assert found.logits.isnan()[:, 0].tolist() == [False, True, True, False, True]
    assert found.share == 0.5
    found = targets(tmp_path, logits, least_confidence=0.94)
    assert found.logits.isnan()[:, 0].tolist() == [False, False, True, False, True]
    assert found.share == 0.75


def test_a_gate_that_lets_no_image_through_is_told_by_its_key(tmp_path):
    logits = np.array([[0.5], [-0.5]], np.float32)
    with pytest.raises(InputError, match=r"distillation\.least_confidence: is 0\.9, but .* surest call has 0\.622"):
        targets(tmp_path, logits, least_confidence=0.9)


def test_a_target_hears_the_other_eye_and_is_its_own_where_there_is_none(tmp_path):
    logits = np.array([[2.0], [-1.0], [0.5], [np.nan], [3.0]], np.float32)
    fellow = np.array([1, 0, -1, 4, 3])
    mean = targets(tmp_path, logits, fellow=fellow, fellow_eye_share=0.5)
    np.testing.assert_allclose(mean.logits.numpy(), [[0.5], [0.5], [0.5], [np.nan], [3.0]])
    other = targets(tmp_path, logits, fellow=fellow, fellow_eye_share=1.0)
    np.testing.assert_allclose(other.logits.numpy(), [[-1.0], [2.0], [0.5], [np.nan], [3.0]])
    with pytest.raises(InputError, match="fellow_eye_share: the manifest has no patient with a left and a right eye"):
        targets(tmp_path, logits, fellow=np.full(5, -1), fellow_eye_share=1.0)


def test_two_eyes_of_one_disease_make_better_targets_than_one(tmp_path):
    draw = np.random.default_rng(0)
    is_ill = np.repeat(draw.random(2000) < 0.3, 2)
    logits = (is_ill + draw.normal(size=4000))[:, None].astype(np.float32)
    fellow = np.arange(4000) ^ 1
    own, both = (
        auc(is_ill, targets(tmp_path, logits, fellow=fellow, fellow_eye_share=share).logits.numpy()[:, 0])
        for share in (0.0, 0.5)
    )
    assert both > own + 0.05


def test_the_other_eye_is_not_asked_for_where_the_teacher_judges_views():
    with pytest.raises(ValidationError, match="must be 0 with targets = 'online'"):
        DistillationSettings(targets="online", fellow_eye_share=0.5)
