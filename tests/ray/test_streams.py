"""The trainers' streams: every readable row once an epoch, in order, as `Preprocess` makes it."""

import dataclasses
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raydr.data.blocks import DecodeRoom
from raydr.data.epochs import EpochClock, start_clock
from raydr.data.ingest import prepare_shards
from raydr.data.prepared import Recipe
from raydr.data.shards import shard_side
from raydr.data.streams import Shuffle, collect_pool, stream_originals, stream_shards
from raydr.errors import InputError
from raydr.images.jpeg import decode
from raydr.images.preprocess import Preprocess
from raydr.training.streams import StreamedBatches, hold_images

pytestmark = pytest.mark.ray
INPUT = Preprocess(side_px=32)
SHARDED = dataclasses.replace(INPUT, through_px=48)


def _epoch(dataset):
    return [row for batch in dataset.iter_batches(batch_size=4, batch_format="numpy") for row in batch["row"].tolist()]


def _originals(uris, **options):
    # Rows that neither start at 0 nor rise, as a split's or a budget's.
    rows = pa.table({"row": np.arange(len(uris))[::-1] * 2 + 7, "uri": uris, "grade": np.arange(len(uris)) % 6 - 1})
    return rows, stream_originals(rows, preprocess=INPUT, room=DecodeRoom(1.0), **options)


@pytest.fixture(scope="module")
def prepared(ray_cluster, tmp_path_factory, write_photographs, write_broken):
    """(shards, manifest rows) of ten photographs and a truncated one among them."""
    folder = tmp_path_factory.mktemp("prepared")
    uris = write_photographs(folder / "good", 10)
    uris.insert(4, write_broken(folder / "broken")["truncated"])
    rows = pa.table(
        {"row": np.arange(11), "image_id": [Path(uri).stem for uri in uris], "uri": uris, "grade": np.arange(11) % 5}
    )
    prepare_shards(
        rows,
        out=str(folder),
        recipe=Recipe(Preprocess(side_px=48), 95),
        images_per_shard=4,
        decode_cpus=1.0,
    )
    return str(folder / "shards"), rows


def test_originals_come_once_an_epoch_in_order_and_a_broken_one_costs_no_other(
    ray_cluster, tmp_path, write_photographs, write_broken
):
    uris, broken = write_photographs(tmp_path / "good", 14), list(write_broken(tmp_path / "broken").values())
    mixed = uris[:5] + broken[:3] + uris[5:] + broken[3:]
    rows, dataset = _originals(mixed)
    is_good = np.array([uri in uris for uri in mixed])
    expected = rows["row"].to_numpy()[is_good].tolist()
    assert _epoch(dataset) == expected
    assert _epoch(dataset) == expected

    pool = collect_pool(dataset, side_px=32)
    assert pool.row.tolist() == sorted(expected)
    known = collect_pool(dataset, side_px=32, rows=rows["row"].to_numpy()[::-1])
    assert (known.row.tolist(), known.grade.tolist()) == (pool.row.tolist(), pool.grade.tolist())
    assert np.array_equal(known.image, pool.image)
    for row, grade, image in zip(pool.row, pool.grade, pool.image, strict=True):
        place = rows["row"].to_pylist().index(row)
        assert grade == rows["grade"][place].as_py()
        assert np.array_equal(image, INPUT(Path(mixed[place]).read_bytes()).transpose(2, 0, 1))


@dataclasses.dataclass
class Trainers:
    """Readers of one dataset, each in a thread, as the workers of one attempt at a training."""

    dataset: object
    clock: EpochClock
    num_images: int
    world_size: int
    batch_size: int

    def __post_init__(self):
        self.sources = [
            StreamedBatches(
                iterator, EpochClock(self.clock.name), self.num_images, self.batch_size, rank, self.world_size
            )
            for rank, iterator in enumerate(self.dataset.streaming_split(self.world_size, equal=True))
        ]

    def epoch(self, number, *, batches=None):
        """The rows of each batch of each worker; so many batches at most."""

        def read(source):
            return [batch.row.tolist() for batch in itertools.islice(source.epoch(number), batches)]

        with ThreadPoolExecutor(self.world_size) as pool:
            return list(pool.map(read, self.sources))


def _flat(epoch):
    return [row for worker in epoch for batch in worker for row in batch]


@pytest.fixture(scope="module")
def shuffled(prepared, tmp_path_factory, write_photographs, write_broken):
    """By kind: a function of the world size to the trainers of a new stream of it, and the rows that can be read."""
    folder = tmp_path_factory.mktemp("shuffled")
    uris = write_photographs(folder / "good", 36)
    broken = write_broken(folder / "broken")
    for place, reason in ((3, "truncated"), (17, "empty"), (18, "missing")):
        uris.insert(place, broken[reason])
    originals = pa.table({"row": np.arange(39), "uri": uris, "grade": np.full(39, -1)})
    shards, stored = prepared

    def read_originals(world_size):
        clock = start_clock()
        dataset = stream_originals(originals, preprocess=INPUT, room=DecodeRoom(0.5), shuffle=Shuffle(11, clock))
        return Trainers(dataset, clock, 36, world_size, batch_size=5)

    def read_shards(world_size):
        clock = start_clock()
        dataset = stream_shards(shards, stored, preprocess=SHARDED, room=DecodeRoom(0.5), shuffle=Shuffle(11, clock))
        return Trainers(dataset, clock, 10, world_size, batch_size=2)

    good = set(range(39)) - {3, 17, 18}
    return {"originals": (read_originals, good), "shards": (read_shards, set(range(11)) - {4})}


@pytest.mark.parametrize("kind", ["originals", "shards"])
@pytest.mark.parametrize("world_size", [1, 2])
def test_an_epoch_is_the_same_whatever_ran_before_it_and_shares_out_every_image(shuffled, kind, world_size):
    start, good = shuffled[kind]
    trainers = start(world_size)
    epochs = [trainers.epoch(number) for number in range(3)]
    resumed = start(world_size)
    assert resumed.epoch(2) == epochs[2]
    assert len({str(epoch) for epoch in epochs}) == 3
    for epoch in epochs:
        rows = _flat(epoch)
        assert len(set(rows)) == len(rows)
        assert set(rows) <= good
        assert len(good) - len(rows) < world_size * trainers.batch_size
        assert {len(worker) for worker in epoch} == {trainers.sources[0].steps_per_epoch}


def test_trainers_may_leave_an_epoch_early_and_go_on_with_the_next(shuffled):
    start, _ = shuffled["originals"]
    trainers = start(2)
    first = trainers.epoch(0, batches=1)
    assert [len(worker) for worker in first] == [1, 1]
    assert trainers.epoch(1) == start(2).epoch(1)
    assert trainers.epoch(0, batches=2)[0][0] == first[0][0]


def test_held_images_are_decoded_once_and_come_in_any_order(ray_cluster, tmp_path, write_photographs):
    uris = write_photographs(tmp_path, 6)
    rows, dataset = _originals(uris)
    expected = collect_pool(dataset, side_px=32)
    held = hold_images(dataset.materialize())
    for uri in uris:
        Path(uri).unlink()
    assert len(held) == 6
    assert held.row.tolist() == rows["row"].to_pylist()
    batch = held.take(np.array([4, 0, 5]))
    places = np.searchsorted(expected.row, batch.row.numpy())
    assert np.array_equal(batch.image.numpy(), expected.image[places])
    assert batch.grade.tolist() == expected.grade[places].tolist()


def test_a_set_without_a_readable_image_is_an_empty_pool(ray_cluster, tmp_path, write_broken):
    _, dataset = _originals(list(write_broken(tmp_path).values()))
    assert collect_pool(dataset, side_px=32).image.shape == (0, 3, 32, 32)


def test_shards_give_the_wanted_images_as_preprocess_makes_them(prepared):
    shards, rows = prepared
    assert shard_side(shards) == 48
    wanted = rows.take([9, 2, 4, 7, 3])  # 4 is in quarantine
    dataset = stream_shards(shards, wanted, preprocess=SHARDED, room=DecodeRoom(1.0))
    assert _epoch(dataset) == _epoch(dataset) == [2, 3, 7, 9]
    pool = collect_pool(dataset, side_px=32)
    assert pool.grade.tolist() == [2, 3, 2, 4]
    stored = {
        row["image_id"]: row["jpeg"]
        for part in Path(shards).glob("*.parquet")
        for row in pq.read_table(part).to_pylist()
    }
    for row, image in zip(pool.row, pool.image, strict=True):
        picture = image.transpose(1, 2, 0)
        assert np.array_equal(picture, SHARDED.finish(decode(stored[rows["image_id"][row].as_py()], min_side_px=48)))
        original = SHARDED(Path(rows["uri"][row].as_py()).read_bytes())
        assert np.abs(picture.astype(int) - original).mean() < 3  # only the JPEG of the shard lies between


def test_all_of_the_shards_come_in_the_order_they_were_prepared_in(prepared):
    shards, rows = prepared
    dataset = stream_shards(shards, rows, preprocess=SHARDED, room=DecodeRoom(1.0))
    assert _epoch(dataset) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]


def test_an_image_that_was_never_prepared_is_an_error(prepared):
    shards, _ = prepared
    other = pa.table({"row": [0, 1], "image_id": ["000", "stranger"], "grade": [0, 0]})
    with pytest.raises(InputError, match="'stranger' and 0 more are not in the shards"):
        stream_shards(shards, other, preprocess=SHARDED, room=DecodeRoom(1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": False}, "crop: the shards have True, wanted is False"),
        ({"enhance": "clahe"}, "enhance: the shards have 'none', wanted is 'clahe'"),
        ({"through_px": 64}, "side_px: is 48, but the input is to be made through 64"),
        ({"through_px": None}, "side_px: is 48, but the input is to be made through 32"),
        ({"side_px": 64, "through_px": 64}, "side_px: is 48, below the 64"),
    ],
)
def test_shards_of_another_preprocessing_are_refused_by_key(tmp_path, change, message):
    manifest = {"preprocess": dataclasses.asdict(Preprocess(side_px=48)), "parts": []}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    rows = pa.table({"row": [0], "image_id": ["a"], "grade": [0]})
    with pytest.raises(InputError, match=message):
        stream_shards(str(tmp_path), rows, preprocess=dataclasses.replace(SHARDED, **change), room=DecodeRoom(1.0))
