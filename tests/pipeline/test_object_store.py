"""Photographs, shards, states and results in an object store: the first half of the chain through the command line."""

import json

import pytest

from raydr import storage
from raydr.images.phantom import write_phantoms

pytestmark = pytest.mark.pipeline

STAGES = {
    "index": """
[sources.phantoms]
layout = "eyepacs"
allow_partial = true
images = "BUCKET/phantoms/images"
labels = "BUCKET/phantoms/trainLabels.csv"
[budget]
fraction = 0.5
""",
    "prepare": """
manifest = "BUCKET/runs/index/manifest.parquet"
side_px = 48
images_per_shard = 16
""",
    "pretrain": """
[data]
manifest = "BUCKET/runs/index/manifest.parquet"
budget = "BUCKET/runs/index/budget.parquet"
shards = "BUCKET/runs/prepare/shards"
[preprocess]
side_px = 48
[model]
backbone = "test_resnet"
[method]
projection_dim = 16
hidden_dim = 32
[optim]
epochs = 1
batch_size = 16
""",
}
SITE = """
[tracking]
enabled = false
[cluster]
local_cpus = 2
num_workers = 1
cpus_per_worker = 1
decode_cpus = 0.5
object_store_mib = 200
"""


def test_index_prepare_and_pretrain_work_from_and_into_an_object_store(object_store, workplace, raydr, tmp_path):
    local = tmp_path / "phantoms"
    write_phantoms(str(local), num_patients=20, seed=0, side_px=96)
    for path in local.rglob("*"):
        if path.is_file():
            uri = f"{object_store.uri}/phantoms/{path.relative_to(local)}"
            storage.write_bytes(uri, path.read_bytes())
    results = {}
    for verb, settings in STAGES.items():
        text = f'job = "{verb}"\nout = "BUCKET/runs/{verb}"\n{settings}{SITE}'
        (tmp_path / f"{verb}.toml").write_text(text.replace("BUCKET", object_store.uri))
        process = raydr(verb, "--config", str(tmp_path / f"{verb}.toml"))
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 0, output
        results[verb] = json.loads(storage.read_bytes(f"{object_store.uri}/runs/{verb}/result.json"))
    num_images = results["index"]["metrics"]["num_images"]
    prepared = results["prepare"]["metrics"]
    assert prepared["num_images"] == prepared["num_written"] == prepared["num_new"] == num_images
    assert prepared["quarantined"] == {}
    assert storage.exists(f"{object_store.uri}/runs/prepare/report.html")
    assert results["pretrain"]["metrics"]["epochs"] == 1
    assert results["pretrain"]["artifacts"]["model"] == f"{object_store.uri}/runs/pretrain/model"
    assert storage.exists(f"{object_store.uri}/runs/pretrain/model/model.safetensors")
    assert not [uri for uri, _, _ in storage.list_files(f"{object_store.uri}/runs") if "/ray/" in uri]

    again = raydr("pretrain", "--config", str(tmp_path / "pretrain.toml"))
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0, output
    assert "pretrain: up to date" in output
