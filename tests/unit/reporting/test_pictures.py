"""Which photographs of an evaluation are shown, and that they come back as they went in."""

import numpy as np
import pyarrow as pa

from raydr.reporting.pictures import PICTURE_PX, PICTURES, choose_pictures, pictures_of, reduced


def test_the_worst_errors_to_both_sides_and_the_highest_scores_are_shown_most_telling_first():
    grade = np.array([0, 1, 2, 3, 4, 4, 0, 1])
    probability = np.array([0.95, 0.6, 0.45, 0.1, 0.99, 0.02, 0.1, 0.49])
    found = choose_pictures(grade, probability, threshold=0.5, num_each=2)
    assert found == {"missed": [5, 3], "false alarm": [0, 1], "highest score": [4, 0]}


def test_what_has_no_score_is_not_shown_and_what_has_no_grade_is_no_error():
    found = choose_pictures(np.array([-1, 4, -1]), np.array([0.9, np.nan, 0.1]), threshold=0.5)
    assert found == {"missed": [], "false alarm": [], "highest score": [0, 2]}


def test_a_score_at_the_threshold_is_a_call():
    found = choose_pictures(np.array([4, 0]), np.array([0.5, 0.5]), threshold=0.5)
    assert (found["missed"], found["false alarm"]) == ([], [1])


def test_a_model_without_errors_shows_none():
    found = choose_pictures(np.array([0, 4]), np.array([0.1, 0.9]), threshold=0.5)
    assert (found["missed"], found["false alarm"]) == ([], [])


def test_pictures_are_small_and_smaller_ones_stay_as_they_are():
    assert reduced(np.zeros((512, 512, 3), np.uint8)).shape == (PICTURE_PX, PICTURE_PX, 3)
    assert reduced(np.ones((64, 64), np.float32)).shape == (64, 64)
    assert reduced(np.ones((512, 512), np.float32)).dtype == np.float32


def test_a_table_of_pictures_gives_errors_and_highest_scores_back():
    rows = [
        {
            "kind": kind,
            "image_id": kind,
            "dataset": "a",
            "grade": 4,
            "probability": 0.1,
            "thumbnail": b"t",
            "heat_map": h,
        }
        for kind, h in (("highest score", b"h"), ("false alarm", None), ("missed", b"h"))
    ]
    worst, highest = pictures_of(pa.Table.from_pylist(rows, schema=PICTURES))
    assert [picture.image_id for picture in worst] == ["missed", "false alarm"]
    assert [(picture.image_id, picture.heat_map) for picture in highest] == [("highest score", b"h")]
