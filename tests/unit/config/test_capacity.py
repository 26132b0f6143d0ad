"""What a plan cannot be made of is told by key."""

from pathlib import Path

import pytest

from raydr.config.load import load
from raydr.errors import SettingsError

PLAN = """\
job = "plan"
out = "runs/plan"
[images]
num_images = 40000
original_bytes = 1e6
shard_bytes = 5e4
[rates]
original_per_s = 10.0
shard_per_s = 100.0
prepare_per_s = 5.0
step_per_s = 100.0
[machines]
gpu_nodes = 2
gpus_per_node = 2
cpus_per_gpu_node = 8
"""
NOT_MEASURED = "is neither given nor measured; set it, or calibrate = true to measure it on this machine"
NO_PHOTOGRAPHS = "is measured on the photographs of images.manifest, which is not set; set one of the two"


def errors(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    """The error lines of the file above with some text exchanged."""
    text = PLAN
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file = tmp_path / "plan.toml"
    file.write_text(text)
    try:
        load("plan", [file])
    except SettingsError as error:
        return [line.removeprefix(f"{file}: ") for line in error.lines]
    return []


def test_figures_that_say_it_all_will_do(tmp_path: Path) -> None:
    assert errors(tmp_path) == []


@pytest.mark.parametrize("name", ["original_per_s", "shard_per_s", "prepare_per_s", "step_per_s"])
def test_a_rate_that_is_neither_given_nor_measured_is_named(tmp_path: Path, name: str) -> None:
    without = (f"\n{name} =", f"\n# {name} =")
    assert errors(tmp_path, without) == [f"rates.{name}: {NOT_MEASURED}"]
    calibrated = ("job =", "calibrate = true\njob =")
    # A step takes random images, decoding takes real ones.
    expected = [] if name == "step_per_s" else [f"rates.{name}: {NO_PHOTOGRAPHS}"]
    assert errors(tmp_path, without, calibrated) == expected
    manifest = ("num_images = 40000", 'manifest = "m.parquet"')
    assert errors(tmp_path, without, calibrated, manifest) == []


def test_sizes_come_from_a_manifest_or_are_required(tmp_path: Path) -> None:
    without_original, without_shard = ("original_bytes = 1e6\n", ""), ("shard_bytes = 5e4\n", "")
    manifest = ("num_images = 40000", 'manifest = "m.parquet"')
    assert errors(tmp_path, without_original) == [
        "images.original_bytes: is required where there is no manifest to take the mean of"
    ]
    assert errors(tmp_path, without_original, manifest) == []
    assert errors(tmp_path, without_shard, manifest) == [f"images.shard_bytes: {NOT_MEASURED}"]


def test_images_are_counted_in_one_way(tmp_path: Path) -> None:
    both = ("num_images = 40000", 'num_images = 40000\nmanifest = "m.parquet"')
    for change in (both, ("num_images = 40000\n", "")):
        assert errors(tmp_path, change) == ["images: exactly one of manifest and num_images must be set"]
    (line,) = errors(tmp_path, ("num_images = 40000", "num_images = 40000\nnum_train = 40001"))
    assert line.startswith("images.num_train: must be at most num_images")


def test_machines_that_cannot_train_are_refused(tmp_path: Path) -> None:
    assert errors(tmp_path, ("gpu_nodes = 2", "gpu_nodes = 2\ncpus_per_trainer = 5.0")) == [
        "machines.cpus_per_trainer: 2 trainers of 5 CPUs do not fit the 8 of a GPU node"
    ]
    assert errors(tmp_path, ("gpu_nodes = 2", "gpu_nodes = 65")) == [
        "pretrain.optim.batch_size: must be at least 260, two images a step for each of 130 GPUs (got 256)"
    ]
    for value, text in ((0.0, "must be above 0 (got 0.0)"), (1.0, "must be below 1 (got 1.0)")):
        assert errors(tmp_path, ("gpu_nodes = 2", f"gpu_nodes = 2\nutilisation = {value}")) == [
            f"machines.utilisation: {text}"
        ]


def test_shards_are_no_smaller_than_the_input(tmp_path: Path) -> None:
    assert errors(tmp_path, ("[rates]", "[prepare]\nside_px = 128\n[rates]")) == [
        "prepare.side_px: must be at least preprocess.side_px (224) (got 128)"
    ]


def test_fleets_that_cannot_train_are_refused(tmp_path: Path) -> None:
    def simulated(text: str) -> list[str]:
        return errors(tmp_path, ("cpus_per_gpu_node = 8\n", f"cpus_per_gpu_node = 8\n[simulation.fleets]\n{text}\n"))

    assert simulated("a = { gpu_nodes = 2 }") == []
    assert simulated("a = { gpu_nodes = 2, gpus_per_node = 5 }") == [
        "simulation.fleets.a.cpus_per_gpu_node: 5 trainers of machines.cpus_per_trainer = 2 CPUs do not fit the 8 of a "
        "GPU node"
    ]
    assert simulated("a = { gpu_nodes = 65 }") == [
        "simulation.fleets.a.gpu_nodes: pretrain.optim.batch_size = 256 is less than two images a step for each of 130 "
        "GPUs"
    ]
    assert "must not be empty" in simulated("")[0] or "at least 1" in simulated("")[0]
    assert simulated("a = { gpu_nodes = 2, nodes = 3 }")[0].startswith("simulation.fleets.a.nodes")


def test_a_plan_is_recorded_only_where_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(PLAN + '[tracking]\nuri = "http://tracker:5000"\n')
    assert not load("plan", [file]).tracking.enabled
    assert load("plan", [file], overrides={"tracking.enabled": True}).tracking.enabled
