"""Scoring in an actor pool gives what a plain loop gives, one row a photograph whatever happens to it."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from raydr.data.ingest import prepare_shards
from raydr.data.prepared import Recipe
from raydr.engine.package import ModelDescription, save_model
from raydr.errors import InputError
from raydr.images.dihedral import dihedral_views
from raydr.images.preprocess import Preprocess
from raydr.inference.scoring import Placement, score_images
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier

pytestmark = pytest.mark.ray
INPUT = Preprocess(side_px=32)


@pytest.fixture
def write_model(tmp_path):
    def write(head, preprocess=INPUT, seed=3):
        torch.manual_seed(seed)
        network = Classifier(create_backbone("test_resnet"), {"binary": 1, "grades": 5}[head]).eval()
        with torch.no_grad():  # a fresh head barely tells pictures apart
            network.head.weight.mul_(30)
        folder = str(tmp_path / f"model-{head}-{preprocess.through_px}-{seed}")
        save_model(folder, network, ModelDescription("test_resnet", head, preprocess))
        return network, folder

    return write


def _rows(uris):
    return pa.table({"image_id": [Path(uri).name for uri in uris], "uri": uris})


def _loop(network, uris, num_views, preprocess=INPUT):
    found = []
    for uri in uris:
        image = torch.from_numpy(preprocess(Path(uri).read_bytes())).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            found.append(torch.stack([network(view) for view in dihedral_views(image, num_views)]).mean(dim=0)[0])
    return torch.stack(found).double().numpy()


def test_grades_and_errors_of_a_mixed_folder_in_its_order(
    ray_cluster, tmp_path, write_photographs, write_broken, write_model
):
    network, folder = write_model("grades")
    good, broken = write_photographs(tmp_path / "good", 9), write_broken(tmp_path / "broken")
    uris = good[:4] + list(broken.values()) + good[4:]
    # The actors want the whole cluster: they are shrunk, or the decoding would never start.
    whole = Placement(actors=2, cpus_per_actor=2.0)
    table = score_images(_rows(uris), folder, num_views=8, batch_size=4, placement=whole)

    grades = [f"grade_{grade}" for grade in range(5)]
    assert table.column_names == ["image", "image_id", "probability", *grades, "logits", "error"]
    assert table["image"].to_pylist() == uris
    assert table["image_id"].to_pylist() == [Path(uri).name for uri in uris]
    by_uri = {row["image"]: row for row in table.to_pylist()}
    for reason, uri in broken.items():
        assert by_uri[uri]["error"].startswith(f"{reason}: ")
        assert all(by_uri[uri][name] is None for name in ["probability", "logits", *grades])

    expected = _loop(network, good, 8)
    softmax = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    assert all(by_uri[uri]["error"] is None for uri in good)
    assert np.allclose([by_uri[uri]["logits"] for uri in good], expected, atol=1e-4)
    assert np.allclose([[by_uri[uri][name] for name in grades] for uri in good], softmax, atol=1e-5)
    assert np.allclose([by_uri[uri]["probability"] for uri in good], softmax[:, 2:].sum(axis=1), atol=1e-5)
    assert np.ptp(softmax[:, 2:].sum(axis=1)) > 1e-3  # the comparison above could fail


def test_shards_score_as_the_photographs_and_quarantine_is_an_error(
    ray_cluster, tmp_path, write_photographs, write_broken, write_model
):
    uris = write_photographs(tmp_path / "good", 6)
    rows = _rows([*uris[:2], write_broken(tmp_path / "broken")["truncated"], *uris[2:]])
    prepare_shards(
        rows,
        out=str(tmp_path),
        recipe=Recipe(Preprocess(side_px=48), 100),
        images_per_shard=4,
        decode_cpus=1.0,
    )
    through = dataclasses.replace(INPUT, through_px=48)
    network, folder = write_model("binary", through)
    table = score_images(rows, folder, shards=str(tmp_path / "shards"))
    assert table.column_names == ["image", "image_id", "probability", "logits", "error"]
    found = table.to_pylist()
    assert [row["image"] for row in found] == rows["uri"].to_pylist()
    broken = found.pop(2)
    assert broken["error"].startswith("truncated: ")
    assert broken["probability"] is None
    assert all(row["error"] is None for row in found)
    logits = np.array([row["logits"] for row in found])
    assert np.allclose(logits, _loop(network, uris, 1, through), atol=0.1)  # the shards' JPEG lies between
    assert np.allclose([row["probability"] for row in found], 1 / (1 + np.exp(-logits[:, 0])), atol=1e-5)

    _, other = write_model("binary")
    with pytest.raises(InputError, match="side_px"):
        score_images(rows, other, shards=str(tmp_path / "shards"))


def test_several_models_score_their_mean_logit(ray_cluster, tmp_path, write_photographs, write_model):
    uris = write_photographs(tmp_path / "good", 4)
    networks, folders = zip(*(write_model("binary", seed=seed) for seed in (3, 4)), strict=True)
    table = score_images(_rows(uris), folders, num_views=2)
    alone = [_loop(network, uris, 2) for network in networks]
    assert np.abs(alone[0] - alone[1]).min() > 1e-2
    assert np.allclose(table["logits"].to_pylist(), (alone[0] + alone[1]) / 2, atol=1e-4)
