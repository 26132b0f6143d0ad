"""One model on one data set: every figure against scikit-learn or a literal count, and nothing left out unsaid."""

import dataclasses
import json
import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, cohen_kappa_score, roc_auc_score, roc_curve

from raydr.metrics.band import roc_band
from raydr.metrics.by_grade import NUM_SCORE_BINS
from raydr.metrics.calibration import calibration_bins, calibration_error
from raydr.metrics.evaluation import evaluate_dataset
from raydr.metrics.evaluation_json import as_json
from raydr.metrics.operating import OperatingPoint
from raydr.metrics.scored_images import ScoredImages

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
        grade_probability=generator.dirichlet(np.ones(5), num_images) + 0.3 * np.eye(5)[grade] if five_grades else None,
    )


def with_arrays(scored, **changes):
    return dataclasses.replace(scored, **changes)


def evaluate(scored, points=POINTS, **more):
    return evaluate_dataset("set", scored, points, num_resamples=200, num_band_resamples=50, **more)


def test_auc_kappa_and_brier_equal_scikit_learn():
    scored = simulate()
    found = evaluate(scored)
    truth = scored.grade >= 2
    assert found.auc.value == pytest.approx(roc_auc_score(truth, scored.probability))
    assert found.auc.low < found.auc.value < found.auc.high
    assert found.calibration.brier == pytest.approx(brier_score_loss(truth, scored.probability))
    predicted = scored.grade_probability.argmax(axis=1)
    assert found.kappa.value == pytest.approx(cohen_kappa_score(scored.grade, predicted, weights="quadratic"))
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


@pytest.mark.parametrize(("points", "name", "threshold"), [(POINTS[::-1], "youden", 0.5), (POINTS[1:], "strict", 0.8)])
def test_figures_by_grade_are_at_youdens_point_or_else_at_the_first(points, name, threshold):
    scored = simulate()
    found = evaluate(scored, points=points)
    assert found.main_point == name
    for grade, share in enumerate(found.sensitivity_by_grade):
        assert share.value == pytest.approx((scored.probability[scored.grade == grade] >= threshold).mean())
        assert share.low <= share.value <= share.high
    without = evaluate(scored, points=(OperatingPoint("youden", math.nan),))
    assert (without.main_point, without.sensitivity_by_grade, without.missed_by_grade) == (None, None, None)


def test_missed_images_are_named_the_lowest_score_first():
    scored = simulate()
    missed = evaluate(scored).missed_by_grade
    assert set(missed) == {2, 3, 4}
    for grade, found in missed.items():
        below = [
            (score, name)
            for score, name, true in zip(scored.probability, scored.image_id, scored.grade, strict=True)
            if true == grade and score < 0.5
        ]
        assert found.num_images == len(below)
        assert set(found.image_ids) == {name for _, name in below}
    named = dict(zip(scored.image_id, scored.probability, strict=True))
    scores = [named[name] for name in missed[2].image_ids]
    assert len(scores) > 3
    assert scores == sorted(scores)


def test_of_more_than_a_hundred_missed_images_the_lowest_are_named():
    scored = with_arrays(simulate(), grade=np.full(400, 2), probability=np.linspace(0.4, 0, 400))
    missed = evaluate(scored).missed_by_grade[2]
    assert missed.num_images == 400
    assert missed.image_ids == tuple(f"image{place}" for place in range(399, 299, -1))


def test_average_precision_equals_scikit_learn():
    scored = simulate()
    found = evaluate(scored)
    truth = scored.grade >= 2
    assert found.average_precision.value == pytest.approx(average_precision_score(truth, scored.probability))
    assert found.average_precision.low < found.average_precision.value < found.average_precision.high
    assert found.precision_recall.recall[-1] == 1


def test_levels_take_the_worst_image_of_each_unit():
    scored = with_arrays(
        simulate(),
        patient=np.array([f"patient{place // 4}" for place in range(400)]),
        eye=np.array(["left", "left", "right", ""] * 100),
        exam=np.array(["1", "1", "2", "2"] * 100),
    )
    levels = evaluate(scored).levels
    assert {name: found.num_units for name, found in levels.items()} == {
        "image": 400,
        "eye": 200,
        "exam": 200,
        "patient": 100,
    }
    worst = scored.probability.reshape(100, 4).max(axis=1)
    is_ill = scored.grade.reshape(100, 4).max(axis=1) >= 2
    assert levels["patient"].auc.value == pytest.approx(roc_auc_score(is_ill, worst))
    assert levels["patient"].auc.num_positive == is_ill.sum()
    assert levels["eye"].auc.num_images == 300  # of one in four the eye is not known
    exams = scored.probability.reshape(200, 2).max(axis=1), scored.grade.reshape(200, 2).max(axis=1) >= 2
    assert levels["exam"].auc.value == pytest.approx(roc_auc_score(exams[1], exams[0]))
    for found in levels.values():
        assert found.delong.value == found.auc.value
        assert found.delong.low < found.auc.value < found.delong.high


def test_a_level_whose_units_hold_one_image_each_is_not_said_twice():
    alone = with_arrays(simulate(), patient=np.array([f"p{place}" for place in range(400)]), eye=np.full(400, "left"))
    assert list(evaluate(alone).levels) == ["image"]


def test_exams_that_were_graded_are_evaluated_by_their_worst_image_where_images_have_no_grade():
    simulated = simulate()
    referable = np.repeat(simulated.grade.reshape(200, 2).max(axis=1) >= 2, 2).astype(np.int64)
    referable[-2:] = -1
    probability = simulated.probability.copy()
    probability[0], probability[2:4] = np.nan, np.nan  # an exam goes on with one image, another has none left
    scored = with_arrays(
        simulated,
        grade=np.full(400, -1),
        probability=probability,
        exam=np.array([f"{place // 2 % 50}" for place in range(400)]),  # one patient's exam 3 is not another's
        exam_referable=referable,
    )
    found = evaluate(scored)
    worst = np.nanmax(np.where(np.isnan(probability), -1, probability).reshape(200, 2), axis=1)
    used = np.r_[0, 2:199]
    assert found.unit == "exam"
    assert found.auc.value == pytest.approx(roc_auc_score(referable[::2][used], worst[used]))
    assert (found.auc.num_images, found.num_ungraded, found.num_unscored) == (395, 2, 3)
    assert found.num_images == 400
    assert found.auc.num_positive == referable[::2][used].sum()
    assert {name: level.num_units for name, level in found.levels.items()} == {"exam": 198}
    assert dict(found.points)["youden"].sensitivity.value == pytest.approx(
        (worst[used] >= 0.5)[referable[::2][used] == 1].mean()
    )
    assert found.histogram.sum() == 0
    json.dumps(as_json(found), allow_nan=False)


def test_exams_do_not_count_where_images_have_grades():
    scored = with_arrays(simulate(), exam=np.full(400, "1"), exam_referable=np.zeros(400, dtype=np.int64))
    assert evaluate(scored).unit == "image"


def test_predictive_values_at_a_stated_prevalence_follow_bayes():
    found = evaluate(simulate(), prevalence=0.1)
    for (name, figures), (point, at_prevalence) in zip(found.points, found.predictive, strict=True):
        hits = 0.1 * figures.sensitivity.value
        alarms = 0.9 * (1 - figures.specificity.value)
        assert name == point
        assert at_prevalence.ppv.value == pytest.approx(hits / (hits + alarms))
    assert evaluate(simulate()).predictive == ()


def test_a_temperature_leaves_the_order_and_mends_calibration():
    scored = simulate()
    odds = np.log(scored.probability.clip(0.001, 0.999) / (1 - scored.probability.clip(0.001, 0.999)))
    too_sure = with_arrays(scored, probability=1 / (1 + np.exp(-4 * odds)))
    found = evaluate(too_sure, temperature=4.0)
    assert found.calibration.slope.value == pytest.approx(found.scaled_calibration.slope.value / 4, rel=0.01)
    assert found.scaled_calibration.brier == pytest.approx(evaluate(scored).calibration.brier, rel=0.01)
    assert found.scaled_calibration.error < found.calibration.error
    assert evaluate(too_sure).scaled_calibration is None


def test_subgroups_are_by_eye_quality_and_camera_and_add_up():
    generator = np.random.default_rng(1)
    scored = with_arrays(
        simulate(),
        eye=generator.choice(["left", "right", ""], 400),
        quality=np.where(generator.random(400) < 0.1, np.nan, generator.random(400)),
        camera=generator.choice([f"camera {number}" for number in range(9)], 400),
    )
    found = evaluate(scored).subgroups
    groups = {}
    for entry in found:
        groups.setdefault(entry.factor, []).append(entry)
    assert {factor: len(entries) for factor, entries in groups.items()} == {"eye": 3, "quality": 4, "camera": 7}
    for entries in groups.values():
        assert sum(entry.auc.num_images for entry in entries) == 400
    left = next(entry for entry in groups["eye"] if entry.group == "left")
    inside = scored.eye == "left"
    assert left.auc.value == pytest.approx(roc_auc_score(scored.grade[inside] >= 2, scored.probability[inside]))
    assert left.point.threshold == 0.5
    assert "other" in [entry.group for entry in groups["camera"]]


def test_a_quality_of_a_few_values_makes_a_group_of_each():
    scored = with_arrays(simulate(), quality=np.arange(400) % 3.0)
    assert [entry.group for entry in evaluate(scored).subgroups] == ["0", "1", "2"]


def test_ungradable_images_are_counted_three_ways_and_only_where_it_is_known_which_they_are():
    gradable = np.arange(400) % 10 != 0
    scored = simulate()
    ways = {found.way: found for found in evaluate(with_arrays(scored, gradable=gradable)).ungradable}
    truth = scored.grade >= 2
    assert ways["all"].auc.value == pytest.approx(roc_auc_score(truth, scored.probability))
    assert ways["gradable"].auc.value == pytest.approx(roc_auc_score(truth[gradable], scored.probability[gradable]))
    called = (scored.probability >= 0.5) | ~gradable
    assert ways["refer"].point.sensitivity.value == pytest.approx(called[truth].mean())
    assert evaluate(scored).ungradable == ()


def test_images_of_unknown_patients_are_counted():
    known = np.arange(400) >= 30
    assert evaluate(with_arrays(simulate(), has_patient=known)).num_without_patient == 30
    assert evaluate(simulate()).num_without_patient == 0


def test_images_without_a_score_or_a_grade_are_counted_and_change_nothing_else():
    clean = with_arrays(simulate(), eye=np.array(["left", "right"] * 200), quality=np.arange(400.0))
    grade, probability = clean.grade.copy(), clean.probability.copy()
    grade[:6] = -1
    probability[4:14] = np.nan  # 4 and 5 have neither
    found = evaluate(with_arrays(clean, grade=grade, probability=probability))
    alone = evaluate(clean.take(np.arange(14, 400)))
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
    assert math.isnan(found.calibration.brier)


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
    assert plain["operating_points"]["youden"]["threshold"] == 0.5
    assert len(plain["roc"]["low"]) == len(plain["precision_recall"]["low"]) == 101
    assert set(plain["missed_by_grade"]) == {"2", "3", "4"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grade": np.full(400, 5)}, "grade must be"),
        ({"probability": np.full(400, 1.5)}, "between 0 and 1"),
        ({"patient": np.array(["a"])}, "patient"),
        ({"eye": np.array(["left"])}, "eye"),
        ({"grade_probability": np.ones((400, 4))}, "grade_probability"),
    ],
)
def test_arrays_that_cannot_be_scores_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        with_arrays(simulate(), **changes)


def test_every_interval_is_of_the_level_that_was_asked_for():
    def bounds(level):
        content = as_json(evaluate(simulate(), prevalence=0.1, level=level))
        del content["missed_by_grade"]
        return dict(intervals(content))

    def intervals(value, path=()):
        if isinstance(value, dict):
            if {"low", "high", "value"} <= set(value) and value["low"] is not None:
                yield path, value["high"] - value["low"]
            for key, inner in value.items():
                yield from intervals(inner, (*path, key))
        elif isinstance(value, list):
            for place, inner in enumerate(value):
                yield from intervals(inner, (*path, place))

    narrow, wide = bounds(0.8), bounds(0.99)
    assert len(narrow) > 40
    assert [path for path, width in narrow.items() if not 0 < width < wide[path]] == []
