"""A worker's orders reach its batches."""

import numpy as np
import ray.train

from raydr.config.stages import PretrainStage
from raydr.engine.fellow_eyes import WithFellowEyes
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.training import worker

NUM_IMAGES, SIDE_PX = 12, 8


class Held:
    """A materialized dataset's shard: pictures that show their row's number."""

    def iter_batches(self, **_):
        row = np.arange(NUM_IMAGES)
        image = np.broadcast_to(row.astype(np.uint8)[:, None, None, None], (NUM_IMAGES, 3, SIDE_PX, SIDE_PX))
        yield {"image": image, "row": row, "grade": np.full(NUM_IMAGES, -1)}


class Alone:
    rank, world_size = 0, 1


def source_of(monkeypatch, probability, fellows):
    """What `pretrain` is given to learn from."""
    found = []
    monkeypatch.setattr(ray.train, "get_dataset_shard", lambda _name: Held())
    monkeypatch.setattr(worker, "pretrain", lambda _stage, images, *_: found.append(images.train))
    stage = PretrainStage.model_validate({"fellow_eye_probability": probability, "optim": {"batch_size": 4}})
    order = worker.Work(
        loop="pretrain",
        settings=stage.model_dump(mode="json"),
        assignment=Assignment(Preprocess(side_px=SIDE_PX), None, seed=0, settings_digest="d"),
        num_streamed=NUM_IMAGES,
        fellows=fellows,
    )
    worker._learn(order, Alone())
    return found[0]


def test_a_worker_makes_second_views_of_fellow_eyes_where_it_is_told_them(monkeypatch):
    source = source_of(monkeypatch, 1.0, (np.arange(NUM_IMAGES) ^ 1).tolist())
    for batch in source.epoch(0):
        assert (batch.second[:, 0, 0, 0] == batch.row ^ 1).all()


def test_without_fellows_the_source_is_the_same_as_ever(monkeypatch):
    source = source_of(monkeypatch, 0.0, None)
    assert not isinstance(source, WithFellowEyes)
    assert next(iter(source.epoch(0))).twin is None
