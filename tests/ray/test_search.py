"""Searches on Ray Tune: trials that crash, searches that are added to, each scheduler and algorithm."""

import os
import signal
from dataclasses import dataclass, field

import numpy as np
import psutil
import pyarrow as pa
import pytest
import ray.data
import ray.util
import torch

from raydr import storage
from raydr.config.site import ClusterSettings
from raydr.config.stages import DistillStage, SearchStage
from raydr.data.manifest import SCHEMA
from raydr.engine.batch import Pool
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.learning.distil import Teaching
from raydr.search.nested import SharedImages
from raydr.search.sampling import drawn_sample
from raydr.search.trial import TrialImages
from raydr.search.tuner import SearchFolders, Shared, search
from raydr.training.teacher import Teacher, write_teacher_logits
from raydr.training.worker import STREAM, VALIDATION

pytestmark = pytest.mark.ray

SIDE_PX = 32
DISTILL = DistillStage.model_validate(
    {
        "model": {"backbone": "test_resnet", "weights": "none"},
        "optim": {"batch_size": 16, "gradient_clip": None},
        "class_balance": False,
        "augment": "none",
    }
)
TEMPERATURE = {"distillation.temperature": {"kind": "uniform", "low": 1.0, "high": 5.0}}


def pool(count, *, seed, graded):
    draw = np.random.default_rng(seed)
    grades = np.resize([0, 3], count) if graded else np.full(count, -1)
    images = draw.integers(0, 200, (count, 3, SIDE_PX, SIDE_PX), dtype=np.uint8)
    if graded:
        images[grades == 3] += 50
    return Pool(images, np.arange(count), grades)


@dataclass
class Follower:
    """Notes what it hears; ``on_epoch`` may interfere."""

    on_epoch: object = lambda *_: None
    known: list = field(default_factory=list)
    epochs: list = field(default_factory=list)
    ends: list = field(default_factory=list)
    samples: dict = field(default_factory=dict)

    def begin(self, records):
        self.known = [(record.number, record.status) for record in records.values()]

    def epoch(self, number, sample, metrics):
        self.epochs.append((number, int(metrics["epoch"])))
        self.samples.setdefault(number, []).append(sample)
        self.on_epoch(number, int(metrics["epoch"]))

    def ended(self, record):
        self.ends.append((record.number, record.status))


def held(images):
    """A pool as a dataset in the object store."""
    columns = {"image": images.image, "row": images.row, "grade": images.grade}
    table = ray.data.range(len(images), override_num_blocks=2)
    return table.map_batches(lambda batch: {key: part[batch["id"]] for key, part in columns.items()}).materialize()


def shared_by(images, logits, folder, workers):
    """What trials of so many workers take."""
    if workers == 1:
        return Shared(images, Teaching(logits, "binary"))
    manifest, outputs = f"{folder}/manifest.parquet", f"{folder}/outputs.parquet"
    rows = [{"image_id": str(row), "uri": str(row), "dataset": "d"} for row in range(len(logits))]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    storage.write_table(manifest, table)
    write_teacher_logits(outputs, table["image_id"], logits)
    datasets = {STREAM: held(images.pool), VALIDATION: held(images.validation)}
    cluster = ClusterSettings(num_workers=workers, cpus_per_worker=0.25, decode_cpus=0.5, threads_per_worker=1)
    return SharedImages(datasets, len(images.pool), Teacher("binary", (), manifest, outputs), cluster)


@pytest.fixture
def run(ray_cluster, tmp_path):
    """Searches in one place, with two trials at a time; returns results and what a follower heard."""
    torch.set_num_threads(1)
    logits = np.random.default_rng(0).normal(size=(64, 1)).astype(np.float32)
    images = TrialImages(pool(48, seed=0, graded=False), pool(0, seed=1, graded=True), pool(16, seed=2, graded=True))

    def searched(*, space=None, max_failures=1, on_epoch=lambda *_: None, **settings):
        follower = Follower(on_epoch)
        stage = SearchStage.model_validate(
            {"cpus_per_trial": 1.0, "space": space or TEMPERATURE, "grace_epochs": 1, **settings}
        )
        results = search(
            stage,
            DISTILL,
            shared_by(images, logits, tmp_path, stage.workers_per_trial),
            Assignment(preprocess=Preprocess(side_px=SIDE_PX), model_folder=None, seed=0, settings_digest="d"),
            folders=SearchFolders(str(tmp_path / "records"), str(tmp_path / "ray"), "search"),
            max_failures=max_failures,
            audience=follower,
        )
        return results, follower

    return searched


def workers_of_trials():
    """The processes of this cluster's trials, which Ray names after Tune's class for functions."""
    children = psutil.Process().children(recursive=True)
    return [process for process in children if " ".join(process.cmdline()).startswith("ray::ImplicitFunc")]


def test_a_search_with_more_trials_adds_to_the_old_one(run, tmp_path):
    first, _ = run(trials=2, epochs=2, scheduler="none")
    more, follower = run(trials=4, epochs=2, scheduler="none")
    assert follower.known == [(0, "done"), (1, "done")]
    assert sorted(set(follower.epochs)) == [(2, 0), (2, 1), (3, 0), (3, 1)]
    old = {result.number: result for result in first}
    assert {result.number for result in more} == {0, 1, 2, 3}
    assert all(result == old[result.number] for result in more if result.number in old)
    space = SearchStage.model_validate({"space": TEMPERATURE}).space
    for result in more:
        assert result.sample == drawn_sample(space, DISTILL, seed=0, number=result.number)
    assert not list((tmp_path / "ray").rglob("state.json")), "states of trials that are done are deleted"
    again, idle = run(trials=4, epochs=2, scheduler="none")
    assert again == more
    assert not idle.epochs


def test_a_trial_that_is_killed_goes_on_from_its_last_epoch(run):
    killed = []

    def kill_at_epoch_1(number, epoch):
        if epoch == 1 and not killed:
            (worker,) = workers_of_trials()
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    (result,), follower = run(trials=1, epochs=4, scheduler="none", on_epoch=kill_at_epoch_1)
    assert killed
    assert not result.failed
    assert follower.epochs[0] == (0, 0)
    assert follower.epochs.count((0, 0)) == 1, "it did not start again"
    assert sorted(set(follower.epochs)) == [(0, epoch) for epoch in range(4)]


def test_a_trial_that_always_crashes_is_tried_again_then_recorded_as_failed_and_the_search_goes_on(run, tmp_path):
    rates = {"optim.learning_rate": {"kind": "choice", "values": [1e-3, 1e30]}}
    results, follower = run(trials=6, epochs=2, space=rates, scheduler="none")
    failed = {result.number for result in results if result.failed}
    assert failed == {result.number for result in results if result.sample["optim.learning_rate"] == 1e30}
    assert 0 < len(failed) < 6
    assert dict(follower.ends) == {n: "failed" if n in failed else "done" for n in range(6)}
    assert all("the loss is" in result.error for result in results if result.failed)
    assert all(result.epochs == 2 for result in results if not result.failed)
    told = [path.read_text() for path in (tmp_path / "ray" / "search").glob("trial-*/error.txt")]
    assert [text.count("Failure # 2 (") for text in told] == [1] * len(failed), "each was tried twice"
    _, idle = run(trials=6, epochs=2, space=rates, scheduler="none")
    assert not idle.epochs, "a failed trial stays failed"


def test_asha_stops_the_weak_half(run):
    rates = {"optim.learning_rate": {"kind": "choice", "values": [1e-2, 1e-12]}}
    results, _ = run(trials=6, epochs=4, space=rates, scheduler="asha")
    assert sum(result.epochs for result in results) < 6 * 4
    assert max(result.epochs for result in results) == 4


def test_median_and_tpe_come_to_an_end(run):
    results, follower = run(trials=5, epochs=3, scheduler="median", algorithm="tpe")
    assert sorted(number for number, _ in follower.ends) == list(range(5))
    assert len({result.sample["distillation.temperature"] for result in results}) == 5


def test_pbt_lets_weak_trials_go_on_from_strong_ones_with_changed_settings(run):
    rates = {"optim.learning_rate": {"kind": "loguniform", "low": 1e-9, "high": 1e-2}}
    results, follower = run(trials=4, epochs=8, space=rates, scheduler="pbt")
    assert len(results) == 4
    changed = [samples for samples in follower.samples.values() if len({str(found) for found in samples}) > 1]
    assert changed
    found = [sample["optim.learning_rate"] for samples in follower.samples.values() for sample in samples]
    assert all(1e-9 <= rate <= 1e-2 for rate in found)
    for result in results:
        assert result.sample in follower.samples[result.number]


def groups(num_bundles):
    """How many placement groups of so many bundles there are: trials have one, two workers of one two."""
    found = ray.util.placement_group_table().values()
    return sum(group["state"] != "REMOVED" and len(group["bundles"]) == num_bundles for group in found)


@pytest.mark.survival
def test_trials_of_several_workers_that_asha_stops_leave_no_placement_group(run, tmp_path):
    rates = {"optim.learning_rate": {"kind": "choice", "values": [1e-2, 1e-12]}}
    seen = []
    results, follower = run(
        trials=8,
        epochs=4,
        space=rates,
        workers_per_trial=2,
        max_parallel=2,
        on_epoch=lambda *_: seen.append(groups(2)),
    )
    assert 1 <= max(seen) <= 2
    assert groups(2) == 0, "none is left, and none had to be waited for"
    assert not list((tmp_path / "ray").rglob("state.json"))
    assert sorted(number for number, _ in follower.ends) == list(range(8))
    assert not any(result.failed for result in results)
    stopped = [result for result in results if result.epochs < 4]
    assert len(stopped) >= 3
    assert max(result.epochs for result in results) == 4
