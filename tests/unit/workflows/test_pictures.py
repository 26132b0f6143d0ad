"""The photographs of an evaluation's report: what the network saw, with its heat map, from files or from shards."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from raydr.data.parts import commit_part, write_manifest
from raydr.data.prepared import Recipe, prepare_chunk
from raydr.engine.package import ModelDescription, save_model
from raydr.images.jpeg import decode, encode
from raydr.images.phantom_picture import draw_phantom
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier
from raydr.reporting.pictures import PICTURES
from raydr.workflows.pictures import picture_table

PREPROCESS = Preprocess(side_px=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = str(tmp_path_factory.mktemp("model"))
    network = Classifier(create_backbone("resnet10t"), 1)
    save_model(folder, network, ModelDescription("resnet10t", "binary", PREPROCESS))
    return folder


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    photos = tmp_path_factory.mktemp("photos")
    rows = []
    for number, (grade, probability) in enumerate(((4, 0.1), (0, 0.9), (2, 0.8), (0, 0.2), (3, None))):
        file = photos / f"{number}.jpg"
        picture = draw_phantom(patient_seed=number, eye="left", grade=grade, side_px=200)
        file.write_bytes(encode(picture))
        row = {"image_id": f"eyes/{number}", "image": str(file), "dataset": "eyes"}
        rows.append({**row, "grade": grade, "probability": probability})
    return pa.Table.from_pylist(rows)


def shown(table):
    return [(row["kind"], row["image_id"]) for row in table.to_pylist()]


def test_errors_and_highest_scores_are_shown_as_the_network_sees_them_with_a_heat_map(folder, scores):
    table = picture_table(scores, {"youden": 0.5}, folder=folder)
    assert table.schema == PICTURES
    assert shown(table) == [
        ("missed", "eyes/0"),
        ("false alarm", "eyes/1"),
        *(("highest score", f"eyes/{number}") for number in (1, 2, 3, 0)),
    ]
    missed = table.to_pylist()[0]
    seen = PREPROCESS(Path(scores["image"][0].as_py()).read_bytes())
    thumbnail = decode(missed["thumbnail"], min_side_px=64)
    assert np.abs(thumbnail.astype(int) - seen).mean() < 4
    assert decode(missed["heat_map"], min_side_px=64).shape == (64, 64, 3)


def test_the_threshold_says_what_is_an_error(folder, scores):
    assert [kind for kind, _ in shown(picture_table(scores, {"youden": 0.95}, folder=folder))].count("missed") == 2


def test_a_photograph_that_is_gone_is_left_out(folder, scores, tmp_path):
    gone = scores.set_column(1, "image", pa.array([str(tmp_path / "gone.jpg"), *scores["image"].to_pylist()[1:]]))
    assert "eyes/0" not in {name for _, name in shown(picture_table(gone, {}, folder=folder))}


def test_out_of_shards_come_the_same_photographs_and_none_is_read_again(folder, scores, tmp_path):
    ids, uris = scores["image_id"].to_pylist()[::-1], scores["image"].to_pylist()[::-1]
    recipe = Recipe(PREPROCESS, 95)
    part = commit_part(str(tmp_path), prepare_chunk(ids, uris, recipe)[1], number=0, recipe=recipe)
    write_manifest(str(tmp_path), [part], recipe)
    gone = scores.set_column(1, "image", pa.array(["gone"] * scores.num_rows))
    stored = picture_table(gone, {"youden": 0.5}, folder=folder, shards=str(tmp_path))
    fresh = picture_table(scores, {"youden": 0.5}, folder=folder)
    assert shown(stored) == shown(fresh)
    for one, other in zip(stored.to_pylist(), fresh.to_pylist(), strict=True):
        pictures = [decode(row["thumbnail"], min_side_px=64).astype(int) for row in (one, other)]
        assert np.abs(pictures[0] - pictures[1]).mean() < 4
