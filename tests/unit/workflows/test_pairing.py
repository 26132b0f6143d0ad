"""Two tables of scores side by side: what is matched, what is left out and left_out_counts, what is refused."""

import math

import numpy as np
import pyarrow as pa
import pytest

from raydr.errors import InputError
from raydr.workflows.pairing import ONE_DATASET, left_out_counts, pair_scores

NAMES = ("a.csv", "b.csv")


def table(ids, probabilities, **columns):
    kinds = {"grade": pa.int64(), "exam_referable": pa.bool_()}
    found = {name: pa.array(values, kinds.get(name, pa.string())) for name, values in columns.items()}
    return pa.table({"image_id": ids, "probability": pa.array(probabilities, pa.float64()), **found})


def test_images_are_matched_by_id_whatever_their_order():
    first = table(["x", "y", "z"], [0.1, 0.2, 0.3], grade=[0, 2, 4])
    second = table(["z", "x", "y"], [0.6, 0.4, 0.5], grade=[4, 0, 2])
    found = pair_scores(first, second, names=NAMES)
    assert found.scores.image_id.tolist() == ["x", "y", "z"]
    assert found.scores.first.tolist() == [0.1, 0.2, 0.3]
    assert found.scores.second.tolist() == [0.4, 0.5, 0.6]
    assert [each.is_referable.tolist() for each in found.scores.judged()] == [[False, True, True]] * 2
    assert set(found.scores.dataset) == {ONE_DATASET}
    assert set(left_out_counts(found).values()) == {0}


def test_an_image_that_stands_twice_is_refused():
    with pytest.raises(InputError, match=r"^b\.csv: image_id: '1' stands in more than one row"):
        pair_scores(table(["1"], [0.5], grade=[1]), table(["1", "1"], [0.1, 0.9]), names=NAMES)


def test_data_sets_are_those_of_the_table_that_names_them():
    bare, named = table(["x", "y"], [0.1, 0.2], grade=[1, 3]), table(["y", "x"], [0.3, 0.4], dataset=["a", "b"])
    found = pair_scores(bare, named, names=NAMES).scores
    assert found.of("a").second.tolist() == [0.3]
    assert found.of("b").second.tolist() == [0.4]


def test_what_is_not_in_both_has_no_grade_or_no_score_is_left_out_and_counted():
    first = table(["only", "v", "w", "x", "y", "z"], [0.0, 0.1, None, 0.3, 0.4, 0.5], grade=[0, 0, 1, 2, None, -1])
    second = table(["z", "y", "x", "w", "v", "other", "more"], [0.5, 0.4, math.nan, 0.2, 0.1, 0.0, 0.0])
    found = pair_scores(first, second, names=NAMES)
    assert found.scores.image_id.tolist() == ["v"]
    assert left_out_counts(found) == {"num_only_first": 1, "num_only_second": 2, "num_ungraded": 2, "num_unscored": 2}


def test_a_patient_of_either_table_counts_and_an_unknown_one_is_alone():
    first = table(["x", "y", "z"], [0.1, 0.2, 0.3], grade=[0, 2, 4])
    named = table(["x", "y", "z"], [0.1, 0.2, 0.3], patient=["p", "p", None])
    found = pair_scores(first, named, names=NAMES)
    assert found.has_patients
    assert found.scores.patient[0] == found.scores.patient[1] != found.scores.patient[2]
    alone = pair_scores(first, first, names=NAMES)
    assert not alone.has_patients
    assert len(set(alone.scores.patient)) == 3


def test_grades_may_stand_in_either_table_and_must_not_differ():
    bare, graded = table(["x", "y"], [0.1, 0.2]), table(["x", "y"], [0.1, 0.2], grade=[1, 3])
    assert pair_scores(bare, graded, names=NAMES).scores.grade.tolist() == [1, 3]
    part = table(["x", "y"], [0.1, 0.2], grade=[None, 3])
    assert pair_scores(part, graded, names=NAMES).scores.grade.tolist() == [1, 3]
    other = table(["x", "y"], [0.1, 0.2], grade=[1, 2])
    with pytest.raises(InputError) as caught:
        pair_scores(graded, other, names=NAMES)
    assert str(caught.value) == (
        "b.csv: grade: image 'y' has grade 2 here and grade 3 in a.csv; of 2 shared images 1 differ"
    )
    with pytest.raises(InputError, match=r"^a\.csv: grade: neither"):
        pair_scores(bare, bare, names=NAMES)


def test_tables_without_a_shared_image_are_refused_with_an_example_of_each():
    with pytest.raises(
        InputError, match=r"^b\.csv: image_id: none is in a\.csv; its first is 'q', the first there 'x'$"
    ):
        pair_scores(table(["x"], [0.1], grade=[1]), table(["q"], [0.1]), names=NAMES)


def test_the_difference_is_of_the_paired_images_and_changes_its_sign_with_them():
    generator = np.random.default_rng(0)
    grade = generator.integers(0, 5, 200)
    ids = [str(number) for number in range(200)]
    patient = [str(number // 2) for number in range(200)]
    scores = [np.clip(grade / 8 + generator.normal(0, spread, 200), 0, 1) for spread in (0.1, 0.4)]
    first = table(ids, scores[0], grade=grade.tolist(), patient=patient)
    second = table(ids[::-1], scores[1][::-1], grade=grade[::-1].tolist(), patient=patient[::-1])
    found = pair_scores(first, second, names=NAMES).scores.difference()
    turned = pair_scores(second, first, names=NAMES).scores.difference()
    assert found.value > found.low > 0
    assert found.num_patients == 100
    assert (turned.value, turned.low) == pytest.approx((-found.value, -found.high))


def test_exams_with_a_reference_are_compared_by_their_largest_scores_where_no_image_has_a_grade():
    exams = [*"aabbccdd", "e", None]
    first = table(
        list("0123456789"),
        [0.9, 0.1, 0.2, 0.3, 0.1, 0.7, 0.6, 0.5, 0.4, 0.4],
        exam=exams,
        exam_referable=[True, True, False, False, True, True, False, False, None, None],
    )
    second = table(list("9876543210"), [0.4, 0.4, 0.1, 0.2, None, 0.5, 0.9, 0.3, 0.8, 0.4])
    found = pair_scores(first, second, names=NAMES)
    assert left_out_counts(found) == {"num_only_first": 0, "num_only_second": 0, "num_ungraded": 2, "num_unscored": 1}
    assert found.has_patients
    ours, theirs = found.scores.judged()
    assert ours.unit == theirs.unit == "exam"
    assert ours.is_referable.tolist() == theirs.is_referable.tolist() == [True, False, True, False]
    assert ours.probability.tolist() == [0.9, 0.3, 0.1, 0.6]  # 0.7 has no counterpart
    assert theirs.probability.tolist() == [0.8, 0.9, 0.5, 0.2]
    difference = found.scores.difference()
    assert (difference.first, difference.second) == (0.5, 0.5)
    assert (difference.num_images, difference.num_patients, difference.num_positive) == (7, 4, 2)


def test_a_data_set_with_grades_beside_one_of_exams_keeps_its_images():
    first = table(
        list("abcdef"),
        [0.1, 0.9, 0.2, 0.8, 0.3, 0.7],
        dataset=["graded"] * 3 + ["by exam"] * 3,
        grade=[0, 3, None, None, None, None],
        exam=["x", "x", "x", "y", "y", "z"],
        exam_referable=[True, True, True, True, True, False],
    )
    found = pair_scores(first, first, names=NAMES)
    assert left_out_counts(found)["num_ungraded"] == 1
    judged = {name: found.scores.of(name).judged()[0] for name in ("graded", "by exam")}
    assert {name: each.unit for name, each in judged.items()} == {"graded": "image", "by exam": "exam"}
    assert judged["graded"].is_referable.tolist() == [False, True]
    assert judged["by exam"].probability.tolist() == [0.8, 0.7]


def test_references_of_an_exam_must_not_differ():
    first, second = (
        table(["x", "y"], [0.1, 0.2], exam=["a", "b"], exam_referable=[True, other]) for other in (True, False)
    )
    with pytest.raises(InputError, match=r"^b\.csv: exam_referable: image 'y' has exam_referable 0 here and .* 1 in a"):
        pair_scores(first, second, names=NAMES)


def test_a_bootstrap_gives_the_same_difference_with_bounds_of_its_own_that_the_seed_draws():
    generator = np.random.default_rng(0)
    grade = generator.integers(0, 5, 100).tolist()
    ids = [str(number) for number in range(100)]
    first, second = (table(ids, generator.random(100), grade=grade) for _ in range(2))
    scores = pair_scores(first, second, names=NAMES).scores
    formula = scores.difference()
    sampled, again, other = (scores.difference(method="bootstrap", seed=seed) for seed in (0, 0, 1))
    assert sampled.value == formula.value
    assert sampled == again
    assert len({formula.low, sampled.low, other.low}) == 3
    assert sampled.low == pytest.approx(formula.low, abs=0.05)
