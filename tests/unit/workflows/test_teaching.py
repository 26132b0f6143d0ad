"""Which networks may teach together."""

import pytest
import torch

from raydr.engine.package import ModelDescription, save_model
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.workflows.teaching import read_teacher, teacher_inputs


@pytest.fixture
def model(tmp_path):
    def write(name, head="binary", side_px=32):
        folder = str(tmp_path / name)
        save_model(folder, torch.nn.Linear(1, 1), ModelDescription("test_resnet", head, Preprocess(side_px=side_px)))
        return folder

    return write


def test_networks_alike_are_one_teacher(model):
    description, head = read_teacher([model("a"), model("b")])
    assert (description.preprocess.side_px, head) == (32, "binary")


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (
            {"head": "grades"},
            "has another head than .*: grades, not binary; the networks of a teacher must have the same",
        ),
        ({"side_px": 48}, "has another preprocessing than .*side_px=48.*side_px=32"),
        ({"head": None}, "is a backbone without a head; `finetune` makes a teacher"),
    ],
)
def test_a_network_that_differs_is_named(model, other, text):
    folders = [model("a"), model("b", **other)]
    with pytest.raises(InputError, match=f"^{folders[1]}: teacher: {text}"):
        read_teacher(folders)


def test_a_teachers_networks_are_inputs_by_number():
    assert teacher_inputs(["a", "b", "c"]) == {"teacher": "a", "teacher_1": "b", "teacher_2": "c"}
