"""The line that says where a training is."""

import pytest

from raydr.workflows.live import LiveLine, live_text

FIGURES = {
    "epoch": 2.0,
    "step": 40.0,
    "steps_per_epoch": 137.0,
    "loss": 4.2123,
    "images_per_s": 511.6,
    "data_wait": 0.031,
    "eta_s": 7500.0,
    "system/cpu_utilization_percentage": 93.0,
}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def live(clock, recorded, *, is_terminal):
    return LiveLine(
        "pretrain",
        epochs=100,
        record=lambda figures, step: recorded.append((dict(figures), step)),
        is_terminal=is_terminal,
        now=clock,
    )


def test_it_names_epoch_step_loss_pace_and_what_is_left():
    assert live_text("pretrain", FIGURES, epochs=100) == (
        "  pretrain epoch 3/100 step 40/137  loss 4.212  512 images/s  data wait 3 %  2 h 05 min left"
    )


def test_a_log_gets_a_line_every_ten_seconds_and_mlflow_with_it(clock, capsys):
    recorded = []
    line = live(clock, recorded, is_terminal=False)
    for second in range(1, 26):
        clock.now = float(second)
        line.show(FIGURES)
    line.close()
    assert capsys.readouterr().out.count("\n") == 2
    named = {"live/loss": 4.2123, "live/images_per_s": 511.6, "live/data_wait": 0.031}
    assert recorded == [({**named, "system/cpu_utilization_percentage": 93.0}, 2 * 137 + 40)] * 2


def test_a_terminal_has_one_line_that_is_rewritten_and_gives_way_to_others(clock, capsys):
    recorded = []
    line = live(clock, recorded, is_terminal=True)
    line.show(FIGURES)
    line.show({**FIGURES, "step": 41.0})
    line.say("done")
    line.close()
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    assert [part[:32] for part in shown.split("\r\x1b[K")] == [
        "",
        "  pretrain epoch 3/100 step 40/1",
        "  pretrain epoch 3/100 step 41/1",
        "done\n",
        "",
    ]
    assert not recorded


def test_a_narrow_terminal_gets_as_much_as_fits_one_row(clock, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    live(clock, [], is_terminal=True).show(FIGURES)
    assert capsys.readouterr().out == "\r\x1b[K" + live_text("pretrain", FIGURES, epochs=100)[:29]
