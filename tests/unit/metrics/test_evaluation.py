"""One model on one data set: every figure against scikit-learn or a literal count, and nothing left out unsaid."""

import json
import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, cohen_kappa_score, roc_auc_score, roc_curve

from raydr.metrics.band import roc_band
from raydr.metrics.calibration import calibration_bins, calibration_error
from raydr.metrics.evaluation import NUM_SCORE_BINS, ScoredImages, as_json, evaluate_dataset
from raydr.metrics.operating import OperatingPoint

POINTS = (OperatingPoint("youden", 0.5), OperatingPoint("strict", 0.8))


def simulate(num_images=400, *, seed=0, five_grades=True):
    generator = np.random.default_rng(seed)
    grade = generator.choice(5, num_images, p=[0.5, 0.15, 0.2, 0.1, 0.05])
    probability = np.round(1 / (1 + np.exp(2 - grade - generator.normal(size=num_images))), 2)
    return ScoredImages(
        image_id=np.array([f"image{place}" for place in range(num_images)]),
        patient=np.array([f"patient{place // 2}" for place in range(num_images)]),
        grade=grade,
        probability=probability,
        grade_probability=generator.dirichlet(np.ones(5), num_images) + np.eye(5)[grade] if five_grades else None,
    )


def with_arrays(scored, **changes):
    fields = {name: getattr(scored, name) for name in ("image_id", "patient", "grade", "probability")}
    return ScoredImages(**{**fields, "grade_probability": scored.grade_probability, **changes})


def evaluate(scored, points=POINTS):
    return evaluate_dataset("set", scored, points, num_resamples=200, num_band_resamples=50)


def test_auc_kappa_and_brier_equal_scikit_learn():
    scored = simulate()
    found = evaluate(scored)
    truth = scored.grade >= 2
    assert found.auc.value == pytest.approx(roc_auc_score(truth, scored.probability))
    assert found.auc.low < found.auc.value < found.auc.high
    assert found.brier == pytest.approx(brier_score_loss(truth, scored.probability))
    predicted = scored.grade_probability.argmax(axis=1)
    assert found.kappa == pytest.approx(cohen_kappa_score(scored.grade, predicted, weights="quadratic"))
    assert found.confusion[3, 2] == ((scored.grade == 3) & (predicted == 2)).sum()


def test_the_curve_equals_scikit_learn():
    scored = simulate()
    rate, sensitivity, _ = roc_curve(scored.grade >= 2, scored.probability, drop_intermediate=False)
    found = evaluate(scored).roc
    np.testing.assert_allclose(found.false_positive_rate, rate)
    np.testing.assert_allclose(found.sensitivity, sensitivity)


def test_points_are_evaluated_at_the_thresholds_that_were_given():
    scored = simulate()
    found = dict(evaluate(scored).points)
    assert list(found) == ["youden", "strict"]
    called, truth = scored.probability >= 0.8, scored.grade >= 2
    assert found["strict"].sensitivity.value == pytest.approx((called & truth).sum() / truth.sum())
    assert found["strict"].false_positives == (called & ~truth).sum()


def test_sensitivity_by_grade_is_the_share_called_referable_at_youdens_point():
    scored = simulate()
    for grade, found in enumerate(evaluate(scored).sensitivity_by_grade):
        assert found.value == pytest.approx((scored.probability[scored.grade == grade] >= 0.5).mean())
        assert found.low <= found.value <= found.high
    assert evaluate(scored, points=POINTS[1:]).sensitivity_by_grade is None


def test_images_without_a_score_or_a_grade_are_counted_and_change_nothing_else():
    clean = simulate()
    grade, probability = clean.grade.copy(), clean.probability.copy()
    grade[:6] = -1
    probability[4:14] = np.nan  # 4 and 5 have neither
    found = evaluate(with_arrays(clean, grade=grade, probability=probability))
    kept = np.arange(14, 400)
    fields = {name: getattr(clean, name)[kept] for name in ("image_id", "patient", "grade", "probability")}
    alone = evaluate(ScoredImages(**fields, grade_probability=clean.grade_probability[kept]))
    assert (found.num_images, found.num_ungraded, found.num_unscored) == (400, 6, 8)
    assert found.num_images == found.auc.num_images + found.num_ungraded + found.num_unscored
    assert {**as_json(found), "num_images": 0, "num_ungraded": 0, "num_unscored": 0} == {
        **as_json(alone),
        "num_images": 0,
    }


def test_a_set_of_one_class_has_no_auc_and_no_curve_but_its_specificity():
    scored = simulate()
    found = evaluate(with_arrays(scored, grade=np.zeros(400, dtype=np.int64)))
    assert math.isnan(found.auc.value)
    assert math.isnan(found.auc.low)
    assert found.roc is None
    assert found.band is None
    assert found.kappa is None
    youden = found.points[0][1]
    assert youden.specificity.value == pytest.approx((scored.probability < 0.5).mean())
    assert math.isnan(youden.sensitivity.value)


@pytest.mark.parametrize("num_images", [0, 1, 2])
def test_the_smallest_sets_give_figures_or_none_and_never_fail(num_images):
    found = evaluate(simulate(num_images))
    assert found.auc.num_images == num_images
    json.dumps(as_json(found), allow_nan=False)


def test_a_set_without_any_score_counts_them_all():
    scored = simulate()
    found = evaluate(with_arrays(scored, probability=np.full(400, np.nan)))
    assert found.num_unscored == 400
    assert found.auc.num_images == 0
    assert math.isnan(found.brier)


def test_kappa_needs_a_five_grade_model_and_all_five_grades_among_the_labels():
    scored = simulate()
    assert evaluate(simulate(five_grades=False)).kappa is None
    assert evaluate(simulate(five_grades=False)).confusion is None
    few = evaluate(with_arrays(scored, grade=np.minimum(scored.grade, 3)))
    assert few.kappa is None
    assert few.confusion.sum() == 400


def test_the_histogram_counts_every_image_once_in_the_bin_of_its_score():
    scored = with_arrays(simulate(), probability=np.linspace(0, 1, 400))
    found = evaluate(scored).histogram
    for grade in range(5):
        expected = np.histogram(scored.probability[scored.grade == grade], bins=NUM_SCORE_BINS, range=(0, 1))[0]
        np.testing.assert_array_equal(found[grade], expected)


def test_calibration_bins_equal_scikit_learn_and_the_error_is_their_weighted_distance():
    scored = with_arrays(simulate(), probability=np.random.default_rng(4).random(400))
    truth = scored.grade >= 2
    bins = calibration_bins(truth, scored.probability, scored.patient)
    observed, said = calibration_curve(truth, scored.probability, n_bins=10)
    np.testing.assert_allclose([entry.observed.value for entry in bins], observed)
    np.testing.assert_allclose([entry.mean_probability for entry in bins], said)
    assert sum(entry.num_images for entry in bins) == 400
    weights = np.array([entry.num_images for entry in bins]) / 400
    assert calibration_error(bins) == pytest.approx((weights * np.abs(observed - said)).sum())


def literal_band(truth, scores, patients, *, num_resamples, seed, grid):
    """Resample by resample, with repeated images and scikit-learn's curve."""
    names, patient_of_image = np.unique(patients, return_inverse=True)
    generator, rows = np.random.default_rng(seed), []
    for _ in range(num_resamples):
        drawn = generator.integers(len(names), size=len(names), dtype=np.uint32)
        chosen = np.concatenate([np.flatnonzero(patient_of_image == patient) for patient in drawn])
        rate, sensitivity, _ = roc_curve(truth[chosen], scores[chosen], drop_intermediate=False)
        tops = np.append(np.diff(rate) > 0, True)  # the highest sensitivity at each rate
        later = np.concatenate(([0], np.flatnonzero(np.diff(rate) > 0) + 1))  # and the lowest, where a piece ends
        found = []
        for wanted in grid:
            before = np.flatnonzero(rate <= wanted)[-1]
            if not tops[before] or before + 1 == len(rate):
                found.append(sensitivity[before])
                continue
            after = later[np.searchsorted(rate[later], wanted, side="right")]
            part = (wanted - rate[before]) / (rate[after] - rate[before])
            found.append(sensitivity[before] + part * (sensitivity[after] - sensitivity[before]))
        rows.append(found)
    return np.quantile(rows, [0.025, 0.975], axis=0)


def test_the_band_equals_resampling_one_at_a_time():
    scored = simulate(120)
    truth = scored.grade >= 2
    found = roc_band(truth, scored.probability, scored.patient, num_resamples=40, num_points=21, seed=7)
    low, high = literal_band(
        truth, scored.probability, scored.patient, num_resamples=40, seed=7, grid=found.false_positive_rate
    )
    np.testing.assert_allclose(found.low, low)
    np.testing.assert_allclose(found.high, high)
    assert found.sensitivity[-1] == 1
    assert (found.high >= found.low).all()


def test_the_band_of_one_class_is_refused():
    with pytest.raises(ValueError, match="both classes"):
        roc_band(np.zeros(4), np.arange(4), np.arange(4))


def test_the_json_form_is_plain_and_has_the_auc_as_result_files_do():
    plain = json.loads(json.dumps(as_json(evaluate(simulate())), allow_nan=False))
    assert set(plain["auc"]) == {"value", "low", "high", "level", "num_images", "num_patients", "num_positive"}
    assert plain["auc"]["num_patients"] == 200
    assert len(plain["confusion"]) == 5
    one_class = evaluate(with_arrays(simulate(), grade=np.full(400, 4)))
    assert as_json(one_class)["auc"]["value"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grade": np.full(400, 5)}, "grade must be"),
        ({"probability": np.full(400, 1.5)}, "between 0 and 1"),
        ({"patient": np.array(["a"])}, "patient"),
        ({"grade_probability": np.ones((400, 4))}, "grade_probability"),
    ],
)
def test_arrays_that_cannot_be_scores_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        with_arrays(simulate(), **changes)
