"""Parts on disk: what is committed is not scored again, what has changed or could not be read is."""

import os

import numpy as np
import pyarrow as pa
import pytest

from raydr.inference.score_parts import ScoreParts, versions
from raydr.inference.scoring import ScoredRows


@pytest.fixture
def photographs(tmp_path):
    """Seven files as rows with versions."""
    paths = [tmp_path / f"{number}.jpeg" for number in range(7)]
    for number, path in enumerate(paths):
        path.write_bytes(b"x" * (number + 1))
    return lambda: listing([str(path) for path in paths])


def listing(uris, ids=None):
    columns = {"image_id": ids or [uri.rpartition("/")[2] for uri in uris], "uri": uris}
    return pa.table({**columns, "version": versions(uris)})


def scored(rows, *, stop=None, errors=None):
    """What a scorer makes of rows: the logit is the number in the file's name; cut off after ``stop``."""
    uris = rows["uri"].to_pylist()
    for start in range(0, len(uris), 2):
        if stop is not None and start >= stop:
            raise KeyboardInterrupt
        chosen = np.arange(start, min(start + 2, len(uris)))
        numbers = [int(uris[row].rpartition("/")[2][0]) for row in chosen]
        found = [(errors or {}).get(number, "") for number in numbers]
        yield ScoredRows(chosen, np.array(numbers, dtype=np.float32)[:, None], np.array(found, dtype=object))


def write(parts, rows, **options):
    told = []
    parts.write(rows, scored(rows, **options), rows_per_part=3, heat_maps=None, on_part=told.append)
    return told


def numbers_of(table):
    return [int(image_id[0]) for image_id in table["image_id"].to_pylist()]


def probabilities(numbers):
    return pytest.approx([1 / (1 + np.exp(-number)) for number in numbers])


def test_one_that_was_cut_off_goes_on_where_it_was_and_ends_in_the_listings_order(tmp_path, photographs):
    parts, rows = ScoreParts(str(tmp_path / "s.parts"), "model"), photographs()
    with pytest.raises(KeyboardInterrupt):
        write(parts, rows, stop=6)
    missing = ScoreParts(str(tmp_path / "s.parts"), "model").missing(rows)
    assert numbers_of(missing) == [4, 5, 6]
    assert write(parts, missing) == [3]
    table = parts.gathered(rows)
    assert table.column_names == ["image", "image_id", "probability", "error"]
    assert numbers_of(table) == list(range(7))
    assert table["probability"].to_pylist() == probabilities(range(7))


def test_a_photograph_that_came_changed_or_moved_in_the_listing_is_all_that_is_scored(tmp_path, photographs):
    parts, rows = ScoreParts(str(tmp_path / "s.parts"), "model"), photographs()
    write(parts, rows)
    assert parts.missing(rows).num_rows == 0
    (tmp_path / "3.jpeg").write_bytes(b"another picture")
    os.utime(tmp_path / "5.jpeg", ns=(1, 1))
    new = tmp_path / "9.jpeg"
    new.write_bytes(b"new")
    uris = [str(new), *reversed(rows["uri"].to_pylist())]
    missing = parts.missing(listing(uris))
    assert numbers_of(missing) == [9, 5, 3]
    write(parts, missing)
    assert numbers_of(parts.gathered(listing(uris))) == [9, 6, 5, 4, 3, 2, 1, 0]


def test_what_could_not_be_read_for_a_passing_reason_is_tried_again_and_what_is_broken_is_not(tmp_path, photographs):
    parts, rows = ScoreParts(str(tmp_path / "s.parts"), "model"), photographs()
    write(parts, rows, errors={2: "unavailable: the store said nothing", 4: "truncated: missing: no end"})
    again = parts.missing(rows)
    assert numbers_of(again) == [2]
    assert parts.gathered(rows)["error"].to_pylist()[2] == "unavailable: the store said nothing"
    write(parts, again)
    table = parts.gathered(rows)
    assert table["error"].to_pylist() == [None] * 4 + ["truncated: missing: no end"] + [None] * 2
    assert table["probability"].to_pylist()[:4] == probabilities(range(4))
    assert table["probability"][4].as_py() is None


def test_parts_of_another_model_count_for_nothing(tmp_path, photographs):
    rows = photographs()
    write(ScoreParts(str(tmp_path / "s.parts"), "one"), rows)
    assert ScoreParts(str(tmp_path / "s.parts"), "other").missing(rows).num_rows == 7


def test_a_photograph_that_is_listed_twice_keeps_both_ids(tmp_path, photographs):
    uris = photographs()["uri"].to_pylist()[:2]
    rows = listing([uris[1], uris[0], uris[1]], ids=["a", "b", "c"])
    parts = ScoreParts(str(tmp_path / "s.parts"), "model")
    write(parts, rows)
    table = parts.gathered(rows)
    assert table["image_id"].to_pylist() == ["a", "b", "c"]
    assert table["probability"].to_pylist() == probabilities([1, 0, 1])


@pytest.mark.parametrize("broken", ["lost", "twice", "swapped"])
def test_rows_that_are_lost_or_out_of_order_are_never_committed_as_others(tmp_path, photographs, broken):
    rows = photographs()
    batches = list(scored(rows))
    found = {
        "lost": batches[:1] + batches[2:],
        "twice": batches[:1] + batches,
        "swapped": [*batches[1::-1], *batches[2:]],
    }
    parts = ScoreParts(str(tmp_path / "s.parts"), "model")
    with pytest.raises(RuntimeError):
        parts.write(rows, iter(found[broken]), rows_per_part=2, heat_maps=None, on_part=lambda _: None)
