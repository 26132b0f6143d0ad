"""The table of a search's trials."""

import math

import pytest

from raydr.search.records import TrialRecord
from raydr.workflows.trial_table import TrialTable


def metrics(epoch, value):
    return {"epoch": float(epoch), "val_auc": value}


def record(number, value, status="done", error=None):
    return TrialRecord(number, {"optim.learning_rate": 0.1}, [metrics(0, value)], status, error)


def told(table):
    table.begin({0: record(0, 0.7), 1: record(1, math.nan, "failed", "no room"), 2: record(2, 0.6, "running")})
    table.epoch(2, {"optim.learning_rate": 0.00123, "keep": "best"}, metrics(1, 0.8125))
    table.epoch(3, {"optim.learning_rate": 0.2}, metrics(0, 0.5))
    table.ended(record(3, 0.5, "failed", "the loss is nan"))
    table.ended(record(2, 0.8125))
    table.close()


def test_a_log_has_a_line_an_epoch_and_one_for_each_failure(capsys):
    told(TrialTable(4, epochs=2, is_terminal=False))
    assert capsys.readouterr().out.splitlines() == [
        "  the search goes on: 1 of 4 trials done, 1 failed, best validation AUC 0.7000 (trial 1)",
        "  trial 3 epoch 2/2  validation AUC 0.8125  learning_rate 0.00123, keep best",
        "  trial 4 epoch 1/2  validation AUC 0.5000  learning_rate 0.2",
        "  trial 4 failed: the loss is nan",
    ]


def on_screen(text):
    """What a terminal shows in the end, of text that goes up and wipes from there."""
    lines = [""]
    while text:
        if text.startswith("\x1b["):
            rows, _, text = text[2:].partition("A\x1b[J")
            del lines[-1 - int(rows) :]
            lines.append("")
        elif text.startswith("\n"):
            lines.append("")
            text = text[1:]
        else:
            lines[-1] += text[0]
            text = text[1:]
    return lines[:-1]


def test_a_terminal_has_a_table_of_the_running_trials_that_is_rewritten(capsys):
    table = TrialTable(4, epochs=2, is_terminal=True)
    for epoch, value in enumerate((0.5, 0.75)):
        table.epoch(1, {"keep": "best"}, metrics(epoch, value))
        table.epoch(0, {"keep": "last"}, metrics(epoch, value - 0.25))
    table.ended(record(0, 0.5))
    shown = capsys.readouterr().out
    assert on_screen(shown) == [
        "  1 of 4 trials done, best validation AUC 0.7500 (trial 2), 1 running",
        "  trial 2 epoch 2/2  validation AUC 0.7500  keep best",
    ]
    table.close()
    assert on_screen(shown + capsys.readouterr().out) == []


def test_the_terminal_keeps_only_what_went_wrong(capsys):
    told(TrialTable(4, epochs=2, is_terminal=True))
    assert on_screen(capsys.readouterr().out) == [
        "  the search goes on: 1 of 4 trials done, 1 failed, best validation AUC 0.7000 (trial 1)",
        "  trial 4 failed: the loss is nan",
    ]


@pytest.mark.parametrize("columns", ["30", "200"])
def test_a_table_is_never_larger_than_its_terminal(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", "8")
    table = TrialTable(40, epochs=2, is_terminal=True)
    for number in range(9):
        table.epoch(number, {"keep": "best"}, metrics(0, 0.5))
    shown = on_screen(capsys.readouterr().out)
    assert len(shown) == 6
    assert shown[-1] == "  ... 5 more"
    assert all(len(line) < int(columns) for line in shown)
