"""The published counts are those of reference papers: they add up, and a difference stops the run."""

import pytest

from raydr.data.folders import Folder
from raydr.data.layouts import aptos2019, ddr, deepdrid, eyepacs, idrid, messidor2
from raydr.data.layouts.layout import Label, Part, Published, check_number, check_published
from raydr.errors import InputError


@pytest.mark.parametrize(
    ("published", "total"),
    [
        (eyepacs.TRAIN, 35_126),
        (eyepacs.TEST, 53_576),
        (messidor2.PUBLISHED, 1_748),
        (aptos2019.PUBLISHED, 3_662),
        (idrid.PUBLISHED["train"], 413),
        (idrid.PUBLISHED["test"], 103),
        (ddr.PUBLISHED, 13_673),
        (deepdrid.TRAINING_AND_VALIDATION, 1_600),
        (deepdrid.EVALUATION, 400),
    ],
)
def test_grades_add_up_to_the_images(published: Published, total: int) -> None:
    assert published.total == total


def test_eyepacs_adds_up_over_its_parts_and_its_gradability() -> None:
    assert eyepacs.TRAIN.total + eyepacs.TEST.total == eyepacs.NUM_GRADABLE + eyepacs.NUM_UNGRADABLE == 88_702
    both = [sum(pair) for pair in zip(eyepacs.TRAIN.grades, eyepacs.TEST.grades, strict=True)]
    assert both == [65_343, 6_205, 13_153, 2_087, 1_914]


def part(*grades: int | None, file: str = "labels.csv") -> Part:
    labels = [Label(line, f"{file}{line}", grade=grade) for line, grade in enumerate(grades, start=2)]
    return Part(Folder("images", {}), file, labels, {"image": "image", "grade": "level"})


def test_a_difference_names_file_column_expected_and_found_and_what_to_do() -> None:
    with pytest.raises(InputError) as caught:
        check_published([part(0, 0, 1, 4, None)], Published((1, 1, 1, 0, 1), ungraded=2), allow_partial=False)
    assert str(caught.value) == (
        "labels.csv: level: expected 6 labels 1/1/1/0/1 and 2 ungradable, found 5 labels 2/1/0/0/1 and 1 ungradable; "
        "complete the download, or set allow_partial = true"
    )


def test_the_same_total_with_other_grades_is_a_difference_too() -> None:
    with pytest.raises(InputError, match=r"a\.csv \+ b\.csv: level: expected 2 labels 2/0/0/0/0, found 2 labels 1/1/0"):
        check_published([part(0, file="a.csv"), part(1, file="b.csv")], Published((2, 0, 0, 0, 0)), allow_partial=False)


def test_the_published_counts_pass_and_so_do_others_where_they_may() -> None:
    check_published([part(0, 0, None)], Published((2, 0, 0, 0, 0), ungraded=1), allow_partial=False)
    check_published([part(3)], Published((2, 0, 0, 0, 0)), allow_partial=True)
    check_number("file: column", 3, 3, "rows", allow_partial=False)
    check_number("file: column", 2, 3, "rows", allow_partial=True)
    with pytest.raises(InputError, match="file: column: expected 3 rows, found 2; complete the download"):
        check_number("file: column", 2, 3, "rows", allow_partial=False)


def test_a_label_given_twice_is_one_image() -> None:
    once = part(0)
    check_published(
        [Part(once.folder, "x", [*once.labels, *once.labels], {"grade": "level"})],
        Published((1, 0, 0, 0, 0)),
        allow_partial=False,
    )
