"""What a model is asked about, and what goes with its scores: without Ray, the model is a stand-in."""

import contextlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raydr.config.jobs import EvaluateSettings
from raydr.config.stages import EvaluateStage
from raydr.data.manifest import SCHEMA
from raydr.data.parts import commit_part, write_manifest
from raydr.data.prepared import SHARD, Recipe
from raydr.data.sources import EXAMS_SCHEMA
from raydr.engine.package import ModelDescription
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.metrics.operating import choose_thresholds
from raydr.workflows import model_scores
from raydr.workflows.scores import chosen_thresholds, evaluate_scores

ROWS = [
    # dataset, split, patient, exam, eye, grade, gradable
    *(("main", "train", f"t{place}", None, None, place % 5, None) for place in range(3)),
    *(("main", "val", f"v{place // 2}", None, None, place % 5, None) for place in range(10)),
    ("main", "val", "v9", None, None, None, None),
    *(("main", "test", f"p{place // 2}", None, ("left", "right")[place % 2], place % 5, True) for place in range(10)),
    ("main", "test", None, None, "left", None, False),  # nobody could grade it: it counts among the ungradable
    ("main", "test", "p9", None, "left", None, None),  # nobody has graded it: nothing can be said
    *(("clinic", "external", f"e{place // 2}", f"e{place // 2}", None, None, None) for place in range(6)),
    ("clinic", "external", "e9", "e9", None, None, None),  # an exam without a reference
]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A manifest of two data sets, one with graded exams; a stand-in scores by the image's number."""
    names = ("dataset", "split", "patient_id", "exam_id", "eye", "grade", "gradable")
    rows = [
        {"image_id": f"i{place}", "uri": f"/i{place}.jpeg", **dict(zip(names, row, strict=True))}
        for place, row in enumerate(ROWS)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tmp_path / "manifest.parquet")
    exams = [{"dataset": "clinic", "exam_id": f"e{place}", "referable": place == 1} for place in range(3)]
    pq.write_table(pa.Table.from_pylist(exams, schema=EXAMS_SCHEMA), tmp_path / "exams.parquet")

    def score_images(chosen, folder, **_):
        numbers = [int(name[1:]) for name in chosen["image_id"].to_pylist()]
        return pa.table({"image_id": chosen["image_id"], "probability": np.array(numbers) / 100})

    monkeypatch.setattr(model_scores, "score_images", score_images)
    monkeypatch.setattr(model_scores, "connected", lambda _: contextlib.nullcontext())
    description = ModelDescription("test_resnet", "binary", Preprocess(side_px=48))
    monkeypatch.setattr(model_scores, "read_description", lambda _: description)
    return tmp_path


def scored(folder, **more):
    content = {"job": "evaluate", "out": "out", "model": "m", "data": {"manifest": str(folder / "manifest.parquet")}}
    shards = more.pop("shards", None)
    settings = EvaluateSettings.model_validate({**content, "data": {**content["data"], "shards": shards}, **more})
    return model_scores.score_model(settings, settings.data, "m")


def images(table, **wanted):
    return [row["image_id"] for row in table.to_pylist() if all(row[key] == value for key, value in wanted.items())]


def test_test_sets_and_graded_validation_images_are_scored_and_nothing_else(data):
    table = scored(data).table
    assert images(table, split="train") == []
    assert images(table, split="val") == [f"i{place}" for place in range(3, 13)]
    assert images(table, split="test") == [f"i{place}" for place in range(14, 25)]  # with the ungradable one
    assert images(table, split="external") == [f"i{place}" for place in range(26, 32)]


def test_thresholds_come_from_the_validation_images_where_the_model_has_none(data):
    table = scored(data).table
    grades = np.arange(10) % 5
    assert chosen_thresholds(table) == choose_thresholds(grades >= 2, np.arange(3, 13) / 100)


def test_what_the_manifest_knows_goes_with_the_scores(data):
    rows = {row["image_id"]: row for row in scored(data).table.to_pylist()}
    assert rows["i15"] | {"grade": 1, "eye": "right", "gradable": True, "patient": "main/p0"} == rows["i15"]
    assert rows["i24"] | {"grade": -1, "gradable": False, "has_patient": False} == rows["i24"]
    assert rows["i28"] | {"grade": -1, "exam": "e1", "exam_referable": True} == rows["i28"]
    assert rows["i15"]["exam_referable"] is None
    assert rows["i15"]["quality"] is None


def test_quality_and_size_of_the_originals_come_from_the_shards(data):
    recipe = Recipe(Preprocess(side_px=48), 90)
    facts = {"focus": 0.75, "width_px": 3888, "height_px": 2592, "jpeg": b"x"}
    known = pa.Table.from_pylist([{"image_id": f"i{place}", "uri": "u", **facts} for place in range(20)], schema=SHARD)
    shards = str(data / "shards")
    write_manifest(shards, [commit_part(shards, known, number=0, recipe=recipe)], recipe)
    rows = {row["image_id"]: row for row in scored(data, shards=shards).table.to_pylist()}
    assert (rows["i15"]["quality"], rows["i15"]["camera"]) == (0.75, "3888 × 2592")
    assert (rows["i22"]["quality"], rows["i22"]["camera"]) == (None, None)


def test_graded_exams_are_evaluated_exam_by_exam_and_ungradable_images_three_ways(data):
    main, clinic = evaluate_scores(scored(data).table, {"youden": 0.2}, EvaluateStage(num_resamples=100), seed=0)
    assert (main.name, main.unit, main.auc.num_images) == ("main", "image", 10)
    ways = {found.way: found for found in main.ungradable}
    assert (ways["refer"].num_images, ways["refer"].num_without_truth) == (11, 1)
    assert (clinic.name, clinic.unit) == ("clinic", "exam")
    # Exams e0, e1 (referable) and e2 score 0.27, 0.29 and 0.31: one of two pairs is in order.
    assert (clinic.auc.value, clinic.auc.num_images, clinic.auc.num_positive) == (0.5, 6, 1)


def test_a_data_set_that_is_not_there_is_refused(data):
    message = "datasets: 'nowhere' has no graded test image; allowed: main, clinic"
    with pytest.raises(InputError, match=message):
        scored(data, datasets=("clinic", "nowhere"))


def test_chosen_data_sets_alone_are_scored(data):
    assert set(scored(data, datasets=("clinic",)).table["dataset"].to_pylist()) == {"clinic", "main"}
    assert images(scored(data, datasets=("clinic",)).table, split="test") == []


def test_without_graded_exams_their_images_are_no_test_images(data):
    (data / "exams.parquet").unlink()
    assert images(scored(data).table, split="external") == []


def test_a_file_that_is_no_table_of_exams_is_named(data):
    (data / "exams.parquet").write_text("no Parquet")
    with pytest.raises(InputError, match=r"exams\.parquet: cannot be read as the exams of `index`"):
        scored(data)


def test_what_is_read_is_known_before(data):
    settings = EvaluateSettings.model_validate(
        {"job": "evaluate", "out": "out", "model": "m", "data": {"manifest": str(data / "manifest.parquet")}}
    )
    assert set(model_scores.inputs_of(settings.data, "m")) == {"manifest", "model", "exams"}
