"""`raydr evaluate` on anybody's scores, through the command line: files in, figures out, odd input in one line."""

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from raydr import cli
from raydr.config.stages import EvaluateStage
from raydr.metrics.operating import choose_thresholds
from raydr.reporting.pictures import PICTURES
from raydr.workflows.result import read_result
from raydr.workflows.scores import reread

NUM_IMAGES = 240
FILES = ["--scores", "scores.csv", "--labels", "labels.csv"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    return tmp_path


def columns(seed=0):
    generator = np.random.default_rng(seed)
    grade = generator.choice(5, NUM_IMAGES, p=[0.5, 0.15, 0.2, 0.1, 0.05])
    names = [f"image{place}" for place in range(NUM_IMAGES)]
    probability = 1 / (1 + np.exp(2 - grade - generator.normal(size=NUM_IMAGES)))
    return {"image_id": names, "probability": probability}, {"image_id": names, "grade": grade}


def write(scores, labels):
    pyarrow.csv.write_csv(pa.table(scores), "scores.csv")
    pyarrow.csv.write_csv(pa.table(labels), "labels.csv")


def evaluate(*more):
    tracking = () if "tracking" in " ".join(more) else ("--set", "tracking.enabled=false")
    return cli.main(["evaluate", *FILES, "--out", "out", "--set", "num_resamples=200", *tracking, *more])


def test_scores_and_grades_alone_give_figures_and_all_that_a_model_leaves(work, capsys):
    scores, labels = columns()
    write(scores, labels)
    assert evaluate() == 0
    shown = capsys.readouterr().out
    result = read_result("out")
    auc = result.metrics["auc"]["labels"]
    assert auc["value"] == pytest.approx(roc_auc_score(labels["grade"] >= 2, scores["probability"]))
    assert (auc["num_images"], auc["num_patients"]) == (NUM_IMAGES, NUM_IMAGES)
    assert set(result.artifacts) == {"scores", "evaluation", "report", "model_card", "checklist"}
    for name in ("model_card", "checklist"):
        assert "Research use only, not a medical device" in Path(result.artifacts[name]).read_text()
    evaluation = json.loads((work / "out" / "evaluation.json").read_text())
    assert evaluation["labels"]["auc"] == auc
    assert f"{auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]" in shown
    assert f"{auc['value']:.3f}" in (work / "out" / "report.html").read_text()
    # Nobody chose a threshold: none is made up from the test images.
    assert result.metrics["operating_points"] == {}
    assert evaluation["labels"]["operating_points"] == {}
    assert "No operating point" in shown
    assert "labels: No patient is named: every image counts as one." in result.metrics["notes"]


def test_thresholds_and_temperature_come_from_the_validation_rows_and_training_rows_are_left_out(work, capsys):
    scores, labels = columns()
    split = np.array(["val", "test", "train", "external"])[np.arange(NUM_IMAGES) % 4]
    labels |= {"split": split, "patient_id": [f"p{place // 8}" for place in range(NUM_IMAGES)]}
    labels["dataset"] = np.where(split == "external", "clinic", "main")
    write(scores, labels)
    assert evaluate("--set", "prevalence=0.1") == 0
    result = read_result("out")
    truth = labels["grade"] >= 2
    is_validation = split == "val"
    wanted = choose_thresholds(truth[is_validation], scores["probability"][is_validation])
    assert result.metrics["operating_points"] == pytest.approx(wanted)
    for name, part in (("main", "test"), ("clinic", "external")):
        rows = split == part
        found = result.metrics["auc"][name]
        assert found["value"] == pytest.approx(roc_auc_score(truth[rows], scores["probability"][rows]))
        assert (found["num_images"], found["num_patients"]) == (60, 30)
    evaluation = json.loads((work / "out" / "evaluation.json").read_text())
    assert evaluation["main"]["temperature"] == evaluation["clinic"]["temperature"]
    assert evaluation["main"]["temperature"] is not None
    assert evaluation["main"]["predictive"]["youden"]["prevalence"] == 0.1
    assert "60 images of the train split: left out." in capsys.readouterr().out
    kept = pq.read_table("out/scores.parquet")
    assert sorted(set(kept["split"].to_pylist())) == ["external", "test", "val"]


def test_a_finished_evaluation_is_read_again_with_the_same_figures(work):
    scores, labels = columns()
    write(scores, {**labels, "split": ["val", "test"] * (NUM_IMAGES // 2), "eye": ["OS", "OD"] * (NUM_IMAGES // 2)})
    assert evaluate() == 0
    result = read_result("out")
    [again] = reread(result, EvaluateStage(num_resamples=200), seed=0)
    assert again.auc.low == result.metrics["auc"]["labels"]["low"]
    assert [name for name, _ in again.points] == list(result.metrics["operating_points"])


def test_images_of_one_exam_are_of_one_patient_where_patients_are_not_named(work):
    scores, labels = columns()
    write(scores, {**labels, "exam_id": [f"e{place // 3}" for place in range(NUM_IMAGES)]})
    assert evaluate() == 0
    result = read_result("out")
    assert result.metrics["auc"]["labels"]["num_patients"] == NUM_IMAGES // 3
    assert not any("No patient is named" in note for note in result.metrics["notes"])
    levels = json.loads((work / "out" / "evaluation.json").read_text())["labels"]["levels"]
    assert {name: found["num_units"] for name, found in levels.items()} == {"image": 240, "exam": 80, "patient": 80}


def test_thresholds_can_be_given(work):
    write(*columns())
    assert evaluate("--set", "operating_points={screening = 0.3}") == 0
    found = json.loads((work / "out" / "evaluation.json").read_text())["labels"]
    assert found["main_point"] == "screening"
    assert found["operating_points"]["screening"]["threshold"] == 0.3


def test_what_is_on_one_side_only_is_counted_and_said(work, capsys):
    scores, labels = columns()
    write({name: values[3:] for name, values in scores.items()}, {name: values[:-2] for name, values in labels.items()})
    assert evaluate() == 0
    shown = capsys.readouterr().out
    assert "2 scores without a label: left out." in shown
    assert "3 labels without a score." in shown
    found = json.loads((work / "out" / "evaluation.json").read_text())["labels"]
    assert (found["num_images"], found["num_unscored"], found["auc"]["num_images"]) == (238, 3, 235)


def test_patients_who_are_tested_and_chosen_on_are_named(work, capsys):
    scores, labels = columns()
    patients = [f"p{place // 2}" for place in range(NUM_IMAGES)]
    split = ["val" if place % 2 and place < 8 else "test" for place in range(NUM_IMAGES)]
    write(scores, {**labels, "patient_id": patients, "split": split})
    assert evaluate() == 0
    assert "4 patients of the val split are tested too (p0, p1, p2, p3): " in capsys.readouterr().out
    assert "are tested too" in (work / "out" / "report.html").read_text()


def test_a_file_in_place_of_the_folder_of_results_is_left_alone(work, capsys):
    write(*columns())
    (work / "out").write_text("mine")
    assert evaluate() == 2
    assert "out: is a file; choose a folder" in capsys.readouterr().err
    assert (work / "out").read_text() == "mine"


def test_a_set_of_one_class_is_said_to_have_no_auc_and_is_no_failure(work, capsys):
    scores, labels = columns()
    write(scores, {**labels, "grade": np.zeros(NUM_IMAGES, dtype=np.int64)})
    assert evaluate() == 0
    assert "not defined" in capsys.readouterr().out
    assert read_result("out").metrics["auc"]["labels"]["value"] is None


def test_a_missed_image_of_grade_4_is_named(work, capsys):
    scores, labels = columns()
    worst = int(np.flatnonzero(labels["grade"] == 4)[0])
    scores["probability"][worst] = 0.001
    write(scores, labels)
    assert evaluate("--set", "operating_points={screening = 0.01}") == 0
    total = int((labels["grade"] == 4).sum())
    assert f"labels: 1 of {total} images of grade 4 missed: image{worst}\n" in capsys.readouterr().out


def test_the_main_figures_are_in_mlflow(work):
    from mlflow import MlflowClient

    write(*columns())
    assert (
        evaluate("--set", f"tracking.uri=sqlite:///{work}/mlflow.db", "--set", "operating_points={screening = 0.3}")
        == 0
    )
    run = MlflowClient(f"sqlite:///{work}/mlflow.db").get_run(read_result("out").mlflow_run_id)
    assert {"auc_value.labels", "auc_low.labels", "average_precision.labels", "sensitivity.labels"} <= set(
        run.data.metrics
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([*FILES, "--model", "m"], "scores: cannot stand beside model"),
        (
            [*FILES, "--set", "datasets=['elsewhere']"],
            "labels.csv: datasets: 'elsewhere' is no data set with a test image",
        ),
        ([*FILES, "--set", "operating_points.x=2.0"], "operating_points.x: must be at most 1 (got 2.0)"),
        ([*FILES, "--set", "prevalence=1.5"], "prevalence: must be below 1 (got 1.5)"),
        (["--scores", "scores.csv"], "labels: is required beside scores and missing"),
        ([], "model: is required and missing; allowed: model and data, or scores and labels"),
        (["--scores", "none.csv", "--labels", "labels.csv"], "none.csv: scores: does not exist"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_line_and_exits_with_2(work, capsys, arguments, line):
    write(*columns())
    assert cli.main(["evaluate", "--out", "out", "--set", "tracking.enabled=false", *arguments]) == 2
    shown = capsys.readouterr()
    assert line in shown.err
    assert "Traceback" not in shown.err
    assert not (work / "out" / "result.json").exists()


def test_all_validation_leaves_nothing_to_test(work, capsys):
    scores, labels = columns()
    write(scores, {**labels, "split": ["val"] * NUM_IMAGES})
    assert evaluate() == 2
    assert "labels.csv: split: every image is in the train or the val split" in capsys.readouterr().err


def test_scores_need_neither_ray_nor_torch(work):
    write(*columns())
    program = (
        "import sys; from raydr.cli import main\n"
        "status = main(sys.argv[1:])\n"
        "print(status, sorted({'ray', 'torch', 'mlflow'} & set(sys.modules)), file=sys.stderr)"
    )
    arguments = ["evaluate", *FILES, "--out", "out", "--set", "tracking.enabled=false", "--set", "num_resamples=100"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr == "0 []\n"


@pytest.mark.parametrize("allowed", [True, False])
def test_photographs_of_patients_are_in_the_report_only_where_the_settings_let_them(work, monkeypatch, allowed):
    write(*columns())
    workflow = importlib.import_module("raydr.workflows.evaluate")
    row = {"kind": "missed", "image_id": "a", "dataset": "labels", "grade": 4, "probability": 0.1, "thumbnail": b"jpeg"}
    read = workflow.scores_of_files

    def with_pictures(*files):
        return dataclasses.replace(read(*files), show=lambda _: pa.Table.from_pylist([row], schema=PICTURES))

    monkeypatch.setattr(workflow, "scores_of_files", with_pictures)
    assert evaluate("--set", f"pictures={str(allowed).lower()}") == 0
    artifacts = read_result("out").artifacts
    assert ("pictures" in artifacts) == allowed
    assert ("data:image/jpeg" in Path(artifacts["report"]).read_text()) == allowed


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), "There are no thresholds"),
        (("--set", "operating_points.ours=0.5"), "Thresholds were given in the settings"),
    ],
)
def test_the_report_says_where_thresholds_come_from(work, more, words):
    write(*columns())
    assert evaluate(*more) == 0
    for name in ("report", "model_card"):
        assert words in Path(read_result("out").artifacts[name]).read_text()
