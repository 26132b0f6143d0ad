"""`raydr prepare` through the command line: killed on its way it goes on; what it could not read it tries again."""

import json
import signal
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raydr.data.manifest import SCHEMA

pytestmark = pytest.mark.pipeline

PREPARE = """
job = "prepare"
out = "OUT/prepared"
manifest = "OUT/manifest.parquet"
side_px = 64
images_per_shard = 8

[tracking]
enabled = false

[cluster]
local_cpus = 2
decode_cpus = 1.0
object_store_mib = 200
"""


def write_manifest(workplace, uris):
    rows = [{"image_id": f"set/{number}", "uri": str(uri), "dataset": "set"} for number, uri in enumerate(uris)]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), workplace / "manifest.parquet")


def recorded(folder):
    """The parts that are committed, with what tells a file written anew from an old one."""
    parts = [path.with_suffix(".parquet") for path in (folder / "shards").glob("part-*.rows")]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in parts}


@pytest.fixture(scope="module")
def prepare(workplace, raydr):
    """Runs the verb to its end: status, output."""
    (workplace / "prepare.toml").write_text(PREPARE.replace("OUT", str(workplace)))

    def run(*options):
        process = raydr("prepare", "--config", "prepare.toml", *options)
        output, _ = process.communicate(timeout=240)
        return process.returncode, output

    return run


@pytest.fixture(scope="module")
def uris(workplace):
    """The same good photographs over and over, 320 in all, and the truncated one last."""
    broken, *good = sorted((workplace / "phantoms" / "images").iterdir())
    uris = [*(good * 4)[:320], broken]
    write_manifest(workplace, uris)
    return uris


@pytest.fixture(scope="module")
def killed(workplace, uris, prepare, raydr):
    """What was committed when the driver was killed with SIGKILL, after the second shard."""
    process = raydr("prepare", "--config", "prepare.toml", "--set", "max_bad_fraction=0")
    while len(recorded(workplace / "prepared")) < 2:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left, before = 0, -1
    while left != before:  # its tasks outlive it by a moment
        before = left
        time.sleep(2)
        left = len(recorded(workplace / "prepared"))
    assert not (workplace / "prepared" / "result.json").exists()
    assert not (workplace / "prepared" / "shards" / "manifest.json").exists()
    return recorded(workplace / "prepared")


@pytest.fixture(scope="module")
def failed(killed, prepare):
    """Status and output of the same command: it finishes the shards, then fails on the truncated photograph."""
    return prepare("--set", "max_bad_fraction=0")


def test_a_killed_run_goes_on_and_writes_no_committed_shard_again(workplace, killed, failed):
    assert 2 <= len(killed) < 41
    after = recorded(workplace / "prepared")
    assert {name: after[name] for name in killed} == killed
    assert len(after) == 41
    stored = [row for name in sorted(after) for row in pq.read_table(workplace / "prepared/shards" / name).to_pylist()]
    assert [row["image_id"] for row in stored] == [f"set/{number}" for number in range(320)]


def test_too_many_bad_photographs_fail_the_job_but_the_shards_stay(workplace, failed):
    status, output = failed
    assert status == 1, output
    assert "prepare: 1 of 321 photographs cannot be read (1 truncated), more than max_bad_fraction = 0" in output
    assert len(recorded(workplace / "prepared")) == 41
    assert not (workplace / "prepared" / "shards" / "manifest.json").exists()  # no reader takes them for complete
    assert not (workplace / "prepared" / "result.json").exists()


def test_a_mended_photograph_and_new_images_add_shards(workplace, uris, failed, prepare):
    before = recorded(workplace / "prepared")
    content = uris[-1].read_bytes()
    try:
        uris[-1].write_bytes(uris[0].read_bytes())
        write_manifest(workplace, [*uris, *uris[:3]])
        status, output = prepare("--set", "max_bad_fraction=0")
    finally:
        uris[-1].write_bytes(content)
    assert status == 0, output
    after = recorded(workplace / "prepared")
    assert {name: after[name] for name in before} == before
    metrics = json.loads((workplace / "prepared" / "result.json").read_text())["metrics"]
    assert metrics["num_images"] == metrics["num_written"] == 324
    assert (metrics["num_new"], metrics["num_shards"], metrics["quarantined"]) == (4, len(before) + 2, {})
    assert f"324 of 324 photographs prepared (4 of them now) in {len(after)} shards" in output

    status, output = prepare("--set", "max_bad_fraction=0")
    assert status == 0
    assert "prepare: up to date" in output


def test_a_lost_shard_is_made_again_by_the_same_command(workplace, uris, failed, prepare):
    assert prepare()[0] == 0
    before = recorded(workplace / "prepared")
    lost = sorted(before)[1]
    (workplace / "prepared" / "shards" / lost).unlink()
    status, output = prepare()
    assert status == 0
    assert (
        f"prepare: its shards are not whole ({workplace}/prepared/shards/manifest.json: parts: {lost} is missing"
        in output
    )
    assert recorded(workplace / "prepared")[lost][2] == before[lost][2]
    assert "prepare: up to date" in prepare()[1]
