"""The chain of jobs/eyepacs_small.toml, shortened, on a few hundred real photographs; `prepare` on full-size ones."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raydr.data.manifest import SCHEMA

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason="real photographs are not here: ../shared/data does not exist"),
]


def raydr(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-m", "raydr", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def copy_rows(source: Path, target: Path, labels: str, key: str, patients: set[str], patient_of) -> int:
    """The label file and the photographs of some patients, in a folder of their own."""
    (target / "images").mkdir(parents=True)
    with (source / labels).open() as file:
        rows = [row for row in csv.DictReader(file) if patient_of(row) in patients]
    with (target / labels).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        found = next((source / "images").glob(f"{Path(row[key]).stem}.*"))
        shutil.copy(found, target / "images" / found.name)
    return len(rows)


def split_patients(split: str, count: int) -> set[str]:
    with (DATA / "eyepacs192" / "split.csv").open() as file:
        rows = [row["image"].rpartition("_")[0] for row in csv.DictReader(file) if row["split"] == split]
    return set(sorted(set(rows), key=int)[:count])


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    folder = tmp_path_factory.mktemp("real")
    train, test = split_patients("train", 110), split_patients("test", 50)
    counts = {}
    counts["eyepacs"] = copy_rows(
        DATA / "eyepacs192",
        folder / "eyepacs",
        "trainLabels.csv",
        "image",
        train | test,
        lambda row: row["image"].rpartition("_")[0],
    )
    with (DATA / "eyepacs192" / "split.csv").open() as file:
        rows = [row for row in csv.reader(file) if row[0].rpartition("_")[0] in train | test]
    (folder / "eyepacs" / "split.csv").write_text("\n".join(["image,split", *map(",".join, rows)]))
    with (DATA / "external192" / "labels.csv").open() as file:
        others = {row["patient_id"] for row in list(csv.DictReader(file))[::10]}  # its first rows are all of grade 0
    counts["external"] = copy_rows(
        DATA / "external192",
        folder / "external",
        "labels.csv",
        "image_id",
        others,
        lambda row: row["patient_id"],
    )
    return folder, counts


def test_the_chain_runs_on_real_photographs_and_reports_auc_with_intervals(photographs):
    folder, counts = photographs
    changes = {
        "out": f"{folder}/run",
        "index.sources.eyepacs.images": f"{folder}/eyepacs/images",
        "index.sources.eyepacs.labels": f"{folder}/eyepacs/trainLabels.csv",
        "index.sources.eyepacs.splits": f"{folder}/eyepacs/split.csv",
        "index.sources.external.images": f"{folder}/external/images",
        "index.sources.external.labels": f"{folder}/external/labels.csv",
        "index.budget.fraction": "0.2",
        "preprocess.side_px": "48",
        **{f"{stage}.view_side_px": "40" for stage in ("pretrain", "finetune", "distill")},
        "prepare.side_px": "64",
        "pretrain.optim.epochs": "1",
        "finetune.optim.epochs": "2",
        "distill.optim.epochs": "1",
        "search.epochs": "1",
        "search.trials": "2",
        "pretrain.model.backbone": "test_resnet",
        "pretrain.model.weights": "none",
        "finetune.model.backbone": "test_resnet",
        "distill.model.backbone": "test_resnet",
        "evaluate.num_resamples": "200",
        "cluster.object_store_mib": "200",
    }
    settings = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    raydr(ROOT, "run", "--config", "jobs/eyepacs_small.toml", *settings)
    result = json.loads((folder / "run" / "result.json").read_text())
    for key in ("auc", "teacher_auc"):
        internal, external = (result["metrics"][key][name] for name in ("eyepacs", "external"))
        assert (internal["num_images"], external["num_images"]) == (100, counts["external"])
        for found in (internal, external):
            assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
    audit = json.loads((folder / "run" / "index" / "result.json").read_text())["metrics"]
    assert audit["num_images"] == counts["eyepacs"] + counts["external"]
    assert audit["num_shared_patients"] == 0
    assert (folder / "run" / "report.html").stat().st_size > 20_000


def test_prepare_takes_full_size_photographs(tmp_path):
    originals = sorted((DATA / "originals").iterdir())
    rows = [
        {"image_id": path.stem, "uri": str(path), "dataset": "originals", "split": "train"}
        for path in originals
        if path.suffix.lower() in (".jpeg", ".jpg")
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tmp_path / "manifest.parquet")
    overlay = str(ROOT / "cluster" / "local.toml")
    (tmp_path / "prepare.toml").write_text(
        f'job = "prepare"\nout = "{tmp_path}/prepared"\nmanifest = "{tmp_path}/manifest.parquet"\nside_px = 512\n'
    )
    raydr(tmp_path, "prepare", "--config", "prepare.toml", "--config", overlay)
    counts = json.loads((tmp_path / "prepared" / "result.json").read_text())["metrics"]
    assert (counts["num_images"], counts["num_written"], counts["quarantined"]) == (6, 6, {})
    parts = (tmp_path / "prepared" / "shards").glob("part-*.parquet")
    assert sum(pq.read_table(part).num_rows for part in parts) == 6
