"""What a run has yet to do: nothing twice, nothing left out, and where it goes."""

import pyarrow as pa
import pytest

from raydr.data.missing import plan_parts


def _rows(names, uris=None):
    return pa.table({"image_id": list(names), "uri": uris or [f"{name}.jpeg" for name in names]})


def _stored(names, *, reasons=None, uris=None):
    table = _rows(names, uris)
    return table.append_column("reason", pa.array(reasons or [None] * len(names), pa.string()))


def _plan(rows, stored=None, numbers=(), images_per_shard=2):
    return plan_parts(rows, stored, numbers=numbers, images_per_shard=images_per_shard)


def test_the_first_run_makes_consecutive_rows_into_parts():
    planned = _plan(_rows("abcde"))
    assert [(part.number, part.image_ids) for part in planned] == [(0, ["a", "b"]), (1, ["c", "d"]), (2, ["e"])]
    assert planned[2].uris == ["e.jpeg"]
    assert all(part.known is None for part in planned)


def test_nothing_is_planned_where_nothing_is_missing():
    assert _plan(_rows("ba"), _stored("abc"), numbers={0, 1}) == []


@pytest.mark.parametrize("numbers", [{0}, {1}, {2}, {0, 2}, {1, 2}, {0, 1, 2}, set()])
def test_a_run_cut_off_makes_the_parts_it_did_not_come_to_as_it_would_have_made_them(numbers):
    whole = _plan(_rows("abcde"))
    done = [part for part in whole if part.number in numbers]
    stored = _stored([name for part in done for name in part.image_ids]) if done else None
    assert _plan(_rows("abcde"), stored, numbers) == [part for part in whole if part.number not in numbers]


def test_new_images_in_any_place_make_parts_of_their_own():
    planned = _plan(_rows("xaybcz"), _stored("abc"), numbers={0, 1})
    assert [(part.number, part.image_ids) for part in planned] == [(2, ["x", "y"]), (3, ["z"])]


def test_what_failed_before_is_tried_again_above_all_other_numbers():
    stored = _stored("abcd", reasons=[None, "truncated", None, "missing"])
    planned = _plan(_rows("abcdef"), stored, numbers={1, 4})
    assert [(part.number, part.image_ids, part.known) for part in planned] == [
        (0, ["e", "f"], None),
        (5, ["b", "d"], ["truncated", "missing"]),
    ]


def test_an_image_whose_file_is_another_now_is_made_again_whatever_became_of_the_old_one():
    stored = _stored("ab", reasons=[None, "truncated"])
    (part,) = _plan(_rows("ab", ["new/a.jpeg", "new/b.jpeg"]), stored, numbers={0})
    assert (part.image_ids, part.uris, part.known) == (["a", "b"], ["new/a.jpeg", "new/b.jpeg"], [None, None])


def test_only_the_newest_row_of_an_image_counts():
    mended = _stored("aba", reasons=["truncated", None, None])
    assert _plan(_rows("ab"), mended, numbers={0, 1}) == []
    moved_and_broken = _stored("aa", reasons=[None, "missing"], uris=["old.jpeg", "a.jpeg"])
    assert _plan(_rows("a"), moved_and_broken, numbers={0, 1})[0].known == ["missing"]


def test_images_that_left_the_manifest_are_not_tried():
    assert _plan(_rows("a"), _stored("ab", reasons=[None, "missing"]), numbers={0}) == []
