"""The terminal's table."""

import pytest

from raydr.reporting.table import terminal_table


def test_words_stand_left_and_numbers_right():
    table = terminal_table([["index", "2.4 s", "ok"], ["pretrain", "1502 s", "-"]], ["stage", "time", "figure"])
    assert table.splitlines() == [
        "stage       time  figure",
        "--------  ------  ------",
        "index      2.4 s  ok",
        "pretrain  1502 s  -",
    ]


def test_a_row_stays_a_line_whatever_is_in_it():
    assert len(terminal_table([["a\nb\tc"]], ["name"]).splitlines()) == 3
    assert "a b c" in terminal_table([["a\nb\tc"]], ["name"])


def test_without_rows_the_header_is_left():
    assert terminal_table([], ["stage", "seconds"]).splitlines() == ["stage  seconds", "-----  -------"]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="2 cells"):
        terminal_table([["only one"]], ["stage", "seconds"])
