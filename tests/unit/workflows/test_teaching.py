"""Which networks may teach together, and what they are asked."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import TypeAdapter

from raydr import storage
from raydr.config.images import DataSettings
from raydr.config.site import ClusterSettings
from raydr.data.manifest import SCHEMA
from raydr.engine.package import ModelDescription, save_model
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.training.worker import Work
from raydr.workflows import teaching
from raydr.workflows.images import Rows
from raydr.workflows.teaching import outputs_name, read_teacher, teach, teacher_inputs


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


@pytest.fixture
def asked(monkeypatch):
    """The models that were asked; the answers are by image, none for the second."""
    calls = []

    def score(rows, models, **_):
        calls.append(models)
        answers = [
            [float(len(name))] if number != 1 else None for number, name in enumerate(rows["image_id"].to_pylist())
        ]
        return pa.table({"logits": pa.array(answers, pa.list_(pa.float32()))})

    monkeypatch.setattr(teaching, "score_images", score)
    return calls


def ask(uri, tmp_path):
    images = [{"image_id": name, "uri": name, "dataset": "d"} for name in ("a", "bb", "ccc", "dddd")]
    manifest = pa.Table.from_pylist(images, schema=SCHEMA)
    storage.write_table(str(tmp_path / "manifest.parquet"), manifest)
    nobody = np.empty(0, np.int64)
    return teach(
        uri,
        teacher=["x", "y"],
        head="binary",
        rows=Rows(manifest, np.array([3, 1, 0]), nobody, nobody),
        data=DataSettings(manifest=str(tmp_path / "manifest.parquet")),
        num_views=2,
        cluster=ClusterSettings(),
    )


def test_what_a_teacher_says_is_kept_by_image_and_asked_once(asked, tmp_path):
    uri = str(tmp_path / "outputs.parquet")
    for _ in range(2):
        found = ask(uri, tmp_path).teaching(with_fellows=True)
        np.testing.assert_array_equal(found.logits, np.array([[1], [np.nan], [np.nan], [4]], np.float32))
    assert [[Path(folder).name for folder in folders] for folders in asked] == [["x", "y"]]
    assert storage.read_table(uri)["image_id"].to_pylist() == ["dddd", "bb", "a"]


def test_a_teacher_that_the_student_asks_is_not_asked_beforehand(asked, tmp_path):
    found = ask(None, tmp_path)
    assert found.outputs is None
    assert not asked
    work = Work("distil", {}, Assignment(Preprocess(side_px=32), None, 0, "d"), 1, teacher=found)
    assert TypeAdapter(Work).validate_python(json.loads(json.dumps(work.as_json()))).teacher == found


def test_outputs_are_shared_where_teacher_images_and_views_are_the_same():
    digests = {"teacher": "a", "manifest": "m", "shards": "s", "budget": "b", "weights": "w"}
    name = outputs_name(digests, 4)
    assert outputs_name({**digests, "budget": "c", "weights": "v"}, 4) == name
    others = [outputs_name({**digests, key: "z"}, 4) for key in ("teacher", "manifest", "shards")]
    others += [outputs_name({**digests, "teacher_1": "z"}, 4), outputs_name(digests, 8)]
    assert len({name, *others}) == 6
