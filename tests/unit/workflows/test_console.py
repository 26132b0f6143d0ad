"""What a verb prints, for a person and for a machine."""

import json

import pytest

from raydr.workflows import console
from raydr.workflows.live import LiveLine


@pytest.fixture
def as_json():
    console.speak_json()
    yield
    console.speak_json(wanted=False)


def test_a_line_for_a_person_is_its_text_alone(capsys):
    console.say("  epoch 1", figures={"loss": 0.5})
    assert capsys.readouterr().out == "  epoch 1\n"


def test_a_line_for_a_machine_is_a_json_object_with_the_figures(as_json, capsys):
    console.say("  epoch 1", figures={"loss": float("nan"), "images_per_s": 512.0})
    line = json.loads(capsys.readouterr().out)
    assert line.pop("time").endswith("+00:00")
    assert line == {"text": "epoch 1", "figures": {"loss": None, "images_per_s": 512.0}}


def test_a_terminal_that_is_read_by_a_machine_is_not_rewritten(as_json, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert not console.is_terminal()
    live = LiveLine("pretrain", epochs=1, record=lambda *_: None)
    live.say("a line", epoch={"loss": 0.5})
    live.close()
    assert json.loads(capsys.readouterr().out)["epoch"] == {"loss": 0.5}
