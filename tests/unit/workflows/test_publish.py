"""What a run's report and its models in the registry take from its stages."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raydr.config.jobs import RunSettings
from raydr.engine.package import ModelDescription
from raydr.images.preprocess import Preprocess
from raydr.tracking.models import LoggedModel
from raydr.tracking.runs import NoTracker
from raydr.workflows import publish
from raydr.workflows.promotion import Promotion
from raydr.workflows.publish import Chain
from raydr.workflows.result import StageResult

CSV = {"layout": "csv", "images": "photos", "labels": "labels.csv", "columns": {"image": "file", "grade": "icdr"}}


@pytest.fixture
def settings():
    content = {
        "job": "run",
        "out": "runs/clinic",
        "index": {"sources": {"clinic": CSV}},
        "search": {"epochs": 4, "space": {"distillation.temperature": {"kind": "uniform", "low": 1.0, "high": 2.0}}},
    }
    return RunSettings.model_validate(content)


def trial(number, auc, epochs, *, close, error=None):
    sample = {"distillation.temperature": 1.0 + number / 10}
    found = {"number": number, "sample": sample, "best_auc": auc, "standard_error": 0.02, "epochs": epochs}
    return {**found, "error": error, "not_told_apart": close}


def scores(shift):
    """Forty test images that a shift of the referable ones' scores makes worse, and a validation image."""
    rows = [
        {"image_id": str(number), "patient": str(number // 2), "grade": number % 5, "split": "test"}
        | {"probability": (number * 37 % 40) / 80 + (0.5 - shift) * (number % 5 >= 2)}
        for number in range(40)
    ]
    rows = [{"dataset": "clinic", **row} for row in rows]
    rows += [
        {**row, "dataset": "exams", "image_id": f"exams {row['image_id']}", "grade": -1}
        | {"exam": "first", "exam_referable": int(row["patient"]) % 5 < 2}
        for row in rows
    ]
    rows.append({"image_id": "v", "patient": "v", "grade": 4, "split": "val", "probability": 0.0})
    return pa.Table.from_pylist([{"dataset": "clinic", "exam": None, "exam_referable": None, **row} for row in rows])


def test_trials_refits_and_patients_of_the_search_are_in_the_report(settings, monkeypatch, tmp_path):
    refits = [
        {"seed": seed, "val_auc": 0.8 + seed / 100, "val_auc_se": 0.02, "best_epoch": 2, "epochs": 3, "kept": seed == 1}
        for seed in range(3)
    ]
    trials = [trial(0, 0.8, 4, close=True), trial(1, 0.7, 2, close=False), trial(2, None, 0, close=False, error="x")]
    searched = {"history": [], "trials": trials, "refits": refits, "num_validation_patients": 60, "num_trials": 3}
    indexed = {"num_budget": 5, "budget_digest": "d" * 64, "summary": [], "num_images": 9}
    audit = ("near_identical_images", "shared_patients", "identical_files", "unreadable", "dropped_labels")
    indexed |= {f"num_{name}": 0 for name in audit}
    learned = {"history": [], "val_auc": 0.8}
    auc = {"value": 0.8, "low": 0.7, "high": 0.9}
    metrics = {"index": indexed, "pretrain": learned, "finetune": learned, "search": {**learned, **searched}}
    metrics |= {f"evaluate {who}": {"auc": {"clinic": auc}} for who in ("teacher", "student")}
    stages = {
        name: StageResult(name.split()[0], "out", "digest", "", 1.0, "", found, {}, {})
        for name, found in metrics.items()
    }
    for who, shift in (("student", 0.0), ("teacher", 0.4)):
        file = str(tmp_path / f"{who}.parquet")
        pq.write_table(scores(shift), file)
        stages[f"evaluate {who}"] = dataclasses.replace(stages[f"evaluate {who}"], artifacts={"scores": file})
    monkeypatch.setattr(publish, "reread", lambda *_, **__: [])
    description = ModelDescription("resnet18", "binary", Preprocess(side_px=96), thresholds={"youden": 0.3})
    monkeypatch.setattr(publish, "read_description", {"s": description}.get)
    report = publish._report(settings, Chain(stages, teacher="t", student="s"))
    assert [(found.number, found.status, found.not_told_apart) for found in report.trials] == [
        (1, "finished", True),
        (2, "stopped", False),
        (3, "failed", False),
    ]
    assert [(found.seed, found.is_kept) for found in report.refits] == [(0, False), (1, True), (2, False)]
    assert report.num_validation_patients == 60
    found, of_exams = report.differences["clinic"], report.differences["exams"]
    assert (of_exams.num_images, of_exams.num_patients, of_exams.num_positive) == (40, 20, 8)
    assert of_exams.low < of_exams.high
    assert (found.num_images, found.num_positive) == (40, 24)
    assert found.first == 1.0
    assert found.value == found.first - found.second > 0.1
    assert report.about.backbone == "resnet18"
    assert "5 labels" in report.about.training[1]
    assert report.about.start == "The student from this run's pretrained backbone, pretraining from random weights."


@pytest.mark.parametrize("prepared", [True, False])
def test_both_models_are_tagged_with_how_they_were_made_and_the_student_contends(
    settings, monkeypatch, tmp_path, prepared
):
    auc = {"clinic": {"value": 0.8123, "low": 0.7, "high": 0.9}, "other": {"value": None, "low": None, "high": None}}
    summary = [{"dataset": "clinic", "split": "train", "images": 9}]
    summary.append({"dataset": "other", "split": "external", "images": 4})
    metrics = {
        "index": {"num_budget": 5, "summary": summary},
        "finetune": {"val_auc": 0.8},
        "search": {"val_auc": None},
        "evaluate teacher": {"auc": auc},
        "evaluate student": {"auc": auc},
    }
    file = str(tmp_path / "scores.parquet")
    pq.write_table(scores(0.1), file)
    artifacts = {"index": {"manifest": "m.parquet"}, "evaluate student": {"scores": file}}
    stages = {
        name: StageResult(name.split()[0], "o", f"digest {name}", "", 1.0, name, found, artifacts.get(name, {}), {})
        for name, found in metrics.items()
    }
    if prepared:
        stages["prepare"] = StageResult("prepare", "o", "d", "", 1.0, "", {}, {"shards": "s/shards"}, {})
    made, contended, asked = {}, [], []

    def register(tracker, run_id, *, folder, name, role, tags):
        made[role] = (run_id, folder, name, tags)
        return LoggedModel(f"models:/raydr/{len(made)}", str(len(made)))

    def promote(tracker, name, version, *, margin, validation, score):
        contended.append((name, version, margin, validation["image_id"].to_pylist()))
        score("folder")
        return Promotion(is_champion=False, reason="worse", compared_with="7")

    monkeypatch.setattr(publish, "register", register)
    monkeypatch.setattr(publish, "promote", promote)
    monkeypatch.setattr(publish, "score_champion", lambda *found, **named: asked.append((*found, named)))
    found = publish._register(settings, "runs/clinic", Chain(stages, teacher="t", student="s"), NoTracker())
    assert {role: (run_id, folder) for role, (run_id, folder, *_) in made.items()} == {
        "teacher": ("finetune", "t"),
        "student": ("search", "s"),
    }
    assert made["teacher"][-1] == {
        "raydr.label_budget": "5",
        "raydr.settings_digest": "digest finetune",
        "raydr.validation_auc": "0.8000",
        "raydr.datasets": "clinic train (9), other external (4)",
        "raydr.auc.clinic": "0.812 [0.700, 0.900]",
        "raydr.auc.other": "not defined",
    }
    assert made["student"][-1]["raydr.validation_auc"] == "not defined"
    assert contended == [("raydr", "2", 0.05, ["v"])]
    shards = "s/shards" if prepared else None
    assert asked == [(settings, "folder", {"manifest": "m.parquet", "shards": shards, "out": "runs/clinic"})]
    assert found["promotion"] == {"reason": "worse", "compared_with": "7", "difference": None}
    assert found["champion"] is False
    assert found["student_model"] == "models:/raydr/2"
