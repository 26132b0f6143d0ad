"""Images gathered into eyes, exams and patients, against a literal grouping."""

import numpy as np
import pytest

from raydr.metrics.levels import LEVELS, gather_units, unit_names


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    patient = np.array([f"p{place // 4:02d}" for place in range(80)])
    return {
        "patient": patient,
        "eye": np.array(["left", "left", "right", "right"] * 20),
        "exam": np.char.add(patient, np.array(["a", "b"] * 40)),
        "grade": generator.integers(0, 5, 80),
        "probability": np.round(generator.random(80), 2),
    }


def names(images, level):
    return unit_names(
        level,
        image=np.arange(80).astype(str),
        patient=images["patient"],
        eye=images["eye"],
        exam=images["exam"],
    )


def gathered(images, level, **changes):
    return gather_units(names(images, level), images["patient"], images["grade"], images["probability"], **changes)


@pytest.mark.parametrize(("level", "number"), [("image", 80), ("eye", 40), ("exam", 40), ("patient", 20)])
def test_a_unit_has_its_images_highest_grade_and_their_largest_score(images, level, number):
    found = gathered(images, level)
    assert len(found.unit) == number
    of_image = names(images, level)
    for place, unit in enumerate(found.unit):
        inside = of_image == unit
        assert found.num_images[place] == inside.sum()
        assert found.grade[place] == images["grade"][inside].max()
        assert found.is_referable[place] == (images["grade"][inside].max() >= 2)
        assert found.probability[place] == images["probability"][inside].max()
        assert found.patient[place] == images["patient"][inside][0]


def test_an_image_without_a_score_or_a_grade_or_a_unit_changes_nothing(images):
    whole = gathered(images, "eye")
    for name, value in (("grade", -1), ("probability", np.nan), ("eye", "")):
        fewer = {key: array.copy() for key, array in images.items()}
        fewer[name][:2] = value  # all of one eye
        fewer[name][2] = value  # half of another
        found = gathered(fewer, "eye")
        assert found.unit.tolist() == whole.unit[1:].tolist()
        assert found.num_images[0] == 1
        assert found.grade[0] == images["grade"][3]
        assert found.probability[0] == images["probability"][3]
        np.testing.assert_array_equal(found.probability[1:], whole.probability[2:])


def test_a_reference_of_the_exam_overrules_the_images_and_needs_none_of_their_grades(images):
    images["grade"][:40] = -1
    reference = {name: place % 3 == 0 for place, name in enumerate(np.unique(images["exam"])[:30].tolist())}
    found = gathered(images, "exam", reference=reference)
    assert found.unit.tolist() == list(reference)
    assert found.is_referable.tolist() == list(reference.values())
    assert (found.grade == -1).all()
    assert found.probability[3] == images["probability"][images["exam"] == found.unit[3]].max()
    assert len(gathered(images, "exam", reference={}).unit) == 0


def test_the_order_of_the_images_plays_no_part(images):
    turned = {key: array[::-1].copy() for key, array in images.items()}
    one, other = gathered(images, "patient"), gathered(turned, "patient")
    assert one.unit.tolist() == other.unit.tolist()
    np.testing.assert_array_equal(one.probability, other.probability)
    np.testing.assert_array_equal(one.grade, other.grade)


def test_a_level_of_which_nothing_is_known_has_no_names():
    image = np.array(["a", "b"])
    known = [unit_names(level, image=image, patient=image) is not None for level in LEVELS]
    assert dict(zip(LEVELS, known, strict=True)) == {"image": True, "eye": False, "exam": False, "patient": True}


def test_names_that_read_alike_when_joined_are_of_two_units():
    patient, part = np.array(["1", "1 2", "1 2"]), np.array(["2 3", "3", ""])
    eyes = unit_names("eye", image=patient, patient=patient, eye=part)
    assert eyes[0] != eyes[1]
    assert eyes[2] == ""
    assert len(gather_units(eyes, patient, np.array([0, 4, 4]), np.array([0.1, 0.2, 0.3])).unit) == 2


def test_no_images_are_no_units():
    empty = np.array([], dtype=str)
    found = gather_units(empty, empty, np.array([], dtype=np.int64), np.array([]))
    assert len(found.unit) == len(found.probability) == len(found.is_referable) == 0


def test_a_unit_of_two_patients_is_refused(images):
    images["exam"][1] = images["exam"][4]
    with pytest.raises(ValueError, match="'p01a' has images of more than one patient"):
        gathered(images, "exam")
    with pytest.raises(ValueError, match=r"grade \(79,\)"):
        gather_units(images["exam"], images["patient"], images["grade"][1:], images["probability"])
