"""What comes after a search's trials: refits, the choice among them, what was read for it and what it cost."""

import json
import os
import re
import statistics
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from mlflow import MlflowClient
from watching import Watch, store_in_use

from raydr import storage
from raydr.config.jobs import SearchSettings
from raydr.data.budget import BudgetRule, budget_table
from raydr.data.manifest import SCHEMA
from raydr.engine.package import WEIGHTS, ModelDescription, save_model
from raydr.errors import RunError
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier
from raydr.workflows import refit, teaching
from raydr.workflows import search as workflow

pytestmark = pytest.mark.ray
NUM_TRAIN, NUM_VALIDATION = 40, 24


class Clinic:
    """Photographs of two eyes a patient with their manifest, a label budget and a teacher."""

    def __init__(self, folder, uris, *, num_train, num_validation, side_px):
        self.folder, self.uris = folder, uris
        splits = ["train"] * num_train + ["val"] * num_validation
        splits += ["test", "external"] * ((len(uris) - len(splits)) // 2)
        self.splits = np.array(splits)
        names = [Path(uri).name for uri in uris]
        columns = {name: [None] * len(uris) for name in SCHEMA.names}
        columns |= {"image_id": names, "uri": uris, "dataset": ["clinic"] * len(uris), "split": splits}
        columns |= {"grade": [number // 2 % 5 for number in range(len(uris))]}
        columns |= {"patient_id": [f"p{number // 2}" for number in range(len(uris))]}
        storage.write_table(str(folder / "manifest.parquet"), pa.table(columns, schema=SCHEMA))
        budget = budget_table(names[:12], BudgetRule(count=12), num_wanted=12)
        storage.write_table(str(folder / "budget.parquet"), budget)
        torch.manual_seed(3)
        network = Classifier(create_backbone("test_resnet"), 1)
        description = ModelDescription("test_resnet", "binary", Preprocess(side_px=side_px, crop=False))
        save_model(str(folder / "teacher"), network, description)

    def settings(self, out, **more):
        """A search on this clinic's images; two epochs and no early end, so that it repeats itself exactly."""
        content = {
            "job": "search",
            "out": str(self.folder / out),
            "data": {name: str(self.folder / f"{name}.parquet") for name in ("manifest", "budget")},
            "teacher": str(self.folder / "teacher"),
            "distill": {
                "model": {"backbone": "test_resnet", "weights": "none"},
                "optim": {"epochs": 2, "batch_size": 16},
                "distillation": {"teacher_views": 2},
            },
            "space": {"distillation.temperature": {"kind": "loguniform", "low": 1.0, "high": 6.0}},
            "epochs": 2,
            "grace_epochs": 2,
            "cluster": {"cpus_per_worker": 0.5, "decode_cpus": 0.5, "threads_per_worker": 1},
            "tracking": {"uri": f"sqlite:///{self.folder}/mlflow.db"},
            **more,
        }
        return SearchSettings.model_validate(content)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory, write_photographs):
    folder = tmp_path_factory.mktemp("clinic")
    uris = write_photographs(folder / "photographs", NUM_TRAIN + NUM_VALIDATION + 16)
    return Clinic(folder, uris, num_train=NUM_TRAIN, num_validation=NUM_VALIDATION, side_px=32)


def keeps_atime(folder):
    """Whether the file system notes when a file was last read."""
    probe = folder / "probe"
    probe.write_text("x")
    os.utime(probe, (0, time.time()))
    probe.read_text()
    return probe.stat().st_atime > 0


@pytest.fixture(scope="module")
def searched(ray_cluster, clinic):
    """A search of three trials and three refits, cut off in the second refit and run again; what was seen of both.

    The teacher's weights are gone once it has been asked: whoever wants it again fails.
    """
    scored, refitted, told, is_cut = [], [], [], []
    teach, score, distil = workflow.teach, teaching.score_images, refit.distil_in_rounds

    def once(*arguments, **named):
        uri = teach(*arguments, **named)
        (clinic.folder / "teacher" / WEIGHTS).unlink(missing_ok=True)
        return uri

    def counting(rows, *arguments, **named):
        scored.append(rows["image_id"].to_pylist())
        return score(rows, *arguments, **named)

    def interrupted(stage, job, student, **named):
        refitted.append(job.seed)
        if job.seed == 8 and not is_cut:
            is_cut.append(True)
            raise RunError("cut off")
        return distil(stage, job, student, **named)

    for uri in clinic.uris:
        os.utime(uri, (0, time.time()))
    settings = clinic.settings("search", seed=7, trials=3, refit_seeds=3)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workflow, "teach", once)
        patched.setattr(teaching, "score_images", counting)
        patched.setattr(refit, "distil_in_rounds", interrupted)
        for module in ("outcome", "refit"):
            patched.setattr(f"raydr.workflows.{module}.say", told.append)
        with pytest.raises(RunError, match="cut off"):
            workflow.search(settings)
        workflow.search(settings)
    result = json.loads((clinic.folder / "search" / "result.json").read_text())
    was_read = np.array([Path(uri).stat().st_atime > 0 for uri in clinic.uris])
    return {"result": result, "scored": scored, "refitted": refitted, "told": told, "was_read": was_read}


def test_neither_trials_nor_refits_open_a_test_patients_photograph(searched, clinic):
    if not keeps_atime(clinic.folder):
        pytest.skip("this file system does not note when a file was read")
    for split, is_read in (("train", True), ("val", True), ("test", False), ("external", False)):
        assert set(searched["was_read"][clinic.splits == split].tolist()) == {is_read}


def test_the_teacher_is_asked_once_about_every_training_image_and_no_other(searched, clinic):
    (images,) = searched["scored"]
    assert images == [Path(uri).name for uri in clinic.uris[:NUM_TRAIN]]
    assert not (clinic.folder / "teacher" / WEIGHTS).exists()


def test_a_refit_that_was_done_is_not_done_again(searched):
    assert searched["refitted"] == [7, 8, 8, 9]


def test_the_model_with_the_median_auc_is_the_searchs(searched, clinic):
    found = searched["result"]["metrics"]
    rows = found["refits"]
    assert [row["seed"] for row in rows] == [7, 8, 9]
    (kept,) = [row for row in rows if row["kept"]]
    assert kept["val_auc"] == statistics.median(row["val_auc"] for row in rows) == found["val_auc"]
    models = [storage.digest_file(f"{row['model']}/{WEIGHTS}") for row in rows]
    assert len(set(models)) == 3
    assert storage.digest_file(str(clinic.folder / "search" / "model" / WEIGHTS)) == models[rows.index(kept)]


def test_mean_and_spread_of_the_refits_are_in_the_result_and_in_mlflow(searched, clinic):
    found = searched["result"]["metrics"]
    aucs = [row["val_auc"] for row in found["refits"]]
    assert found["refit"]["val_auc_mean"] == pytest.approx(statistics.fmean(aucs))
    assert found["refit"]["val_auc_sd"] == pytest.approx(statistics.stdev(aucs))
    assert found["refit"]["num_seeds"] == 3
    run = MlflowClient(f"sqlite:///{clinic.folder}/mlflow.db").get_run(searched["result"]["mlflow_run_id"])
    assert run.data.metrics["refit_val_auc_mean"] == pytest.approx(statistics.fmean(aucs))
    assert run.data.metrics["best_val_auc"] == pytest.approx(found["val_auc"])


def test_every_auc_has_its_standard_error_in_result_mlflow_terminal_and_report(searched, clinic):
    found = searched["result"]["metrics"]
    for entry in (found, found["best_trial"], *found["refits"]):
        assert 0 < entry["val_auc_se"] < 0.3
    assert all(0 < trial["standard_error"] < 0.3 for trial in found["trials"])
    best = found["best_trial"]
    (line,) = [line for line in searched["told"] if "best trial" in line][-1:]
    assert f"{best['val_auc']:.4f}, standard error {best['val_auc_se']:.4f} (12 patients)" in line
    client = MlflowClient(f"sqlite:///{clinic.folder}/mlflow.db")
    run = client.get_run(searched["result"]["mlflow_run_id"])
    assert run.data.metrics["best_val_auc_se"] == pytest.approx(found["val_auc_se"])
    trials = client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}' and run_name LIKE 'trial%'"
    )
    assert len(trials) == 3
    assert all(len(client.get_metric_history(trial.info.run_id, "val_auc_se")) >= 2 for trial in trials)
    page = Path(searched["result"]["artifacts"]["report"]).read_text()
    for trial in found["trials"]:
        cell = rf"{trial['best_auc']:.3f} <span class=\"error\">± {trial['standard_error']:.3f}"
        assert re.search(cell, page)


def test_trials_within_one_standard_error_of_the_best_are_marked(searched):
    found = searched["result"]["metrics"]
    least = found["best_trial"]["val_auc"] - found["best_trial"]["val_auc_se"]
    marks = [trial["not_told_apart"] for trial in found["trials"]]
    assert marks == [trial["best_auc"] >= least for trial in found["trials"]]
    assert sum(marks) == found["num_not_told_apart"]


def test_a_search_of_its_own_registers_its_model_as_challenger(searched, clinic):
    client = MlflowClient(f"sqlite:///{clinic.folder}/mlflow.db")
    aliases = client.get_registered_model("raydr").aliases
    assert set(aliases) == {"challenger"}
    version = client.get_model_version("raydr", aliases["challenger"])
    assert version.run_id == searched["result"]["mlflow_run_id"]
    assert searched["result"]["metrics"]["student_model"] == f"models:/raydr/{version.version}"
    assert version.tags["raydr.role"] == "student"


class StoreWatch(Watch):
    """The most object store that was taken at once beyond what was taken before, in bytes.

    Tune never lets go of what it has put there: an earlier search's images stay until the driver ends.
    """

    interval_s = 0.05

    def __init__(self):
        super().__init__()
        time.sleep(2)  # the cluster's figures are a second old
        self.peak, self._before = 0.0, store_in_use()

    def look(self):
        self.peak = max(self.peak, store_in_use() - self._before)


def test_eight_trials_share_one_prepared_pool(ray_cluster, tmp_path, write_photographs):
    uris = write_photographs(tmp_path / "photographs", 340)
    clinic = Clinic(tmp_path, uris, num_train=300, num_validation=24, side_px=128)
    peaks = {}
    for count in (1, 8):
        with StoreWatch() as watch, pytest.MonkeyPatch.context() as patched:
            patched.setattr(workflow, "refit", _stop)  # the trials alone are watched
            with pytest.raises(RunError, match="trials are done"):
                workflow.search(
                    clinic.settings(
                        f"of-{count}",
                        trials=count,
                        epochs=1,
                        grace_epochs=1,
                        cpus_per_trial=0.25,
                        tracking={"enabled": False},
                    )
                )
        peaks[count] = watch.peak
    pool = 300 * 3 * 128**2
    assert peaks[1] > pool  # the watch sees it
    assert peaks[8] <= 1.3 * peaks[1]


def _stop(*_, **__):
    raise RunError("the trials are done")
