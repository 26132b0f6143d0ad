"""A tiny study on made-up eyes: cut off, gone on with, its test sets opened at the end, one arm changed."""

import json
import math
from collections.abc import Mapping

import numpy as np
import pytest
from mlflow import MlflowClient

from raydr import storage
from raydr.config.jobs import StudySettings
from raydr.data.budget import read_budget
from raydr.data.manifest import read_manifest
from raydr.data.score_files import read_scored_images
from raydr.engine.package import load_model
from raydr.errors import RunError
from raydr.images.phantom import write_phantoms
from raydr.metrics.comparison import difference_error
from raydr.metrics.roc import auc
from raydr.workflows import study_cells
from raydr.workflows.study import study

pytestmark = pytest.mark.ray

ARMS = {
    "probe": {"kind": "probe", "model": {"backbone": "test_resnet", "weights": "none"}},
    "scratch": {
        "kind": "finetune",
        "model": {"backbone": "test_resnet", "weights": "none"},
        "optim": {"epochs": 2, "batch_size": 4},
        "at": {"16": {"optim.epochs": 3}},
    },
    "student": {
        "kind": "distill",
        "teacher": "scratch",
        "model": {"backbone": "test_resnet", "weights": "none"},
        "optim": {"epochs": 1, "batch_size": 16},
        "distillation": {"teacher_views": 2},
    },
    "fixmatch": {
        "kind": "distill",
        "model": {"backbone": "test_resnet", "weights": "none"},
        "optim": {"epochs": 1, "batch_size": 16},
        "distillation": {"soft_weight": 0.0, "consistency_weight": 1.0},
    },
}
CELLS = {f"{arm}/{budget}/draw-{draw}/seed-0" for arm in ARMS for budget in (8, 16) for draw in (0, 1)}


class Place:
    """A folder with phantoms of two clinics, and a study of them."""

    def __init__(self, folder):
        self.folder, self.out = folder, folder / "study"
        drawn = {"side_px": 64, "prevalence": (0.4, 0.1, 0.2, 0.2, 0.1)}  # both classes are in every split
        write_phantoms(str(folder / "phantoms"), num_patients=24, seed=0, **drawn)
        write_phantoms(str(folder / "elsewhere"), num_patients=8, seed=1, camera="b", prefix="b", **drawn)

    def settings(self, arms: Mapping = ARMS, **more):
        def source(name, role):
            files = {
                "images": str(self.folder / name / "images"),
                "labels": str(self.folder / name / "trainLabels.csv"),
            }
            return {"layout": "eyepacs", "allow_partial": True, "role": role, **files}

        sources = {"phantoms": source("phantoms", "internal"), "elsewhere": source("elsewhere", "external")}
        return StudySettings.model_validate(
            {
                "job": "study",
                "out": str(self.out),
                "budgets": [8, 16],
                "draws": 2,
                "reference": "scratch",
                "preprocess": {"side_px": 32},
                "index": {"sources": sources, "near_identical": False, "splits": {"val_fraction": 0.25}},
                "arms": arms,
                "cluster": {"cpus_per_worker": 0.5, "decode_cpus": 0.5},
                **more,
            }
        )

    def files(self, name):
        """When each cell's file of that name was written, by cell."""
        found = (self.out / "cells").glob(f"*/*/*/*/{name}")
        return {str(path.relative_to(self.out / "cells").parent): path.stat().st_mtime_ns for path in found}

    def openings(self):
        uri = self.out / "openings.json"
        return json.loads(uri.read_text()) if uri.exists() else []


@pytest.fixture(scope="module")
def place(ray_cluster, tmp_path_factory):
    return Place(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def cut_off(place):
    """When the cells were done that were, as the driver was interrupted at the fifth."""
    lines, given = [], []

    def shared(images):
        given.append(images)
        return share(images)

    share = study_cells.shared

    def say(text, **facts):
        lines.append(facts)
        if sum("cell" in fact for fact in lines) == 5:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(study_cells, "say", say)
        patched.setattr(study_cells, "shared", shared)
        with pytest.raises(KeyboardInterrupt):
            study(place.settings(test=False))
    place.given = given
    return place.files("result.json")


@pytest.fixture(scope="module")
def closed(cut_off, place):
    """What the same study came to, its test sets closed, and when each of its cells was done."""
    result = study(place.settings(test=False))
    return result, place.files("result.json"), place.files("scores.parquet"), place.openings()


@pytest.fixture(scope="module")
def opened(closed, place):
    """What it came to with its test sets opened."""
    result = study(place.settings())
    return result, place.files("result.json"), place.files("scores.parquet"), place.openings()


def test_a_study_that_was_cut_off_goes_on_without_training_again_what_was_done(cut_off, closed):
    assert 5 <= len(cut_off) < len(CELLS)
    done = closed[1]
    assert set(done) == CELLS
    assert {name: time for name, time in done.items() if name in cut_off} == cut_off


def test_cells_are_given_training_and_validation_images_and_no_other(cut_off, place):
    (images,) = place.given
    named = read_manifest(str(place.out / "learning.parquet"))["image_id"].to_numpy()
    whole = read_manifest(str(place.out / "index" / "manifest.parquet"))
    splits = dict(zip(whole["image_id"].to_pylist(), whole["split"].to_pylist(), strict=True))
    assert {splits[name] for name in named[images.pool.row]} == {"train"}
    assert {splits[name] for name in named[images.validation.row]} == {"val"}
    assert set(splits.values()) == {"train", "val", "test", "external"}


def test_the_test_sets_stay_closed_until_they_are_asked_for(closed):
    result, _, scores, openings = closed
    assert (scores, openings) == ({}, [])
    assert {cell["dataset"] for cell in result.metrics["cells"]} == {"validation"}


def test_every_cell_has_a_model_of_its_own_budget_and_a_run_below_the_studys(closed, place):
    result = closed[0]
    (store,) = place.out.glob("*.db")
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("raydr").experiment_id
    found = {run.info.run_name: run for run in client.search_runs([experiment], max_results=500)}
    rows = {
        f"{row['arm']}/{row['budget']}/draw-{row['draw']}/seed-{row['seed']}": row for row in result.metrics["cells"]
    }
    assert set(rows) == CELLS
    for name, row in rows.items():
        model = load_model(str(place.out / "cells" / name / "model"))
        budget = place.out / "budgets" / f"draw-{row['draw']}-{row['budget']}.parquet"
        assert row["num_labels"] == len(read_budget(str(budget)))
        run = found[name]
        assert (run.info.status, run.data.tags["mlflow.parentRunId"]) == ("FINISHED", result.mlflow_run_id)
        assert run.data.metrics["best_val_auc"] == pytest.approx(row["auc"])
        assert model.description.provenance["mlflow_run_id"] == run.info.run_id
    epochs = client.get_metric_history(found["scratch/16/draw-0/seed-0"].info.run_id, "loss")
    assert [metric.step for metric in epochs] == [0, 1, 2], "`at` gives 16 labels an epoch more"
    assert not list(place.out.glob("cells/*/*/*/*/states")), "what cells went on from is gone"


def test_opening_trains_nothing_scores_every_cell_and_is_written_down(closed, opened):
    result, done, scores, openings = opened
    assert done == closed[1]
    assert set(scores) == CELLS
    (opening,) = openings
    assert opening["num_models"] == len(CELLS)
    assert result.metrics["openings"] == 1
    assert {"raydr", "torch", "timm"} <= set(opening["versions"])


def error_beside_scratch(row, chosen, place):
    """Of a cell's difference from the reference arm's model of the same draw, on the images chosen of its scores."""
    if row["arm"] == "scratch":
        return math.nan
    folder = place.out / "cells" / "scratch" / row["budget"] / f"draw-{row['draw']}" / f"seed-{row['seed']}"
    theirs = read_scored_images(str(folder / "scores.parquet"))
    theirs = theirs.filter(np.isin(theirs["image_id"].to_pylist(), chosen["image_id"].to_pylist()))
    assert theirs["image_id"].to_pylist() == chosen["image_id"].to_pylist()
    of_both = (table["probability"].to_numpy() for table in (chosen, theirs))
    return difference_error(chosen["grade"].to_numpy() >= 2, *of_both, np.array(chosen["patient"].to_pylist()))


def test_cells_add_up(opened, place):
    rows = opened[0].metrics["cells"]
    assert len(rows) == len(CELLS) * 3
    for row in rows:
        name = f"{row['arm']}/{row['budget']}/draw-{row['draw']}/seed-{row['seed']}"
        scores = read_scored_images(str(place.out / "cells" / name / "scores.parquet"))
        split = {"validation": "val", "phantoms": "test", "elsewhere": "external"}[row["dataset"]]
        chosen = scores.filter(np.array(scores["split"].to_pylist()) == split)
        truth = chosen["grade"].to_numpy() >= 2
        assert row["auc"] == pytest.approx(auc(truth, chosen["probability"].to_numpy()), abs=1e-6)
        assert (row["num_images"], row["num_positive"]) == (len(truth), int(truth.sum()))
        assert row["difference_error"] == pytest.approx(error_beside_scratch(row, chosen, place), nan_ok=True)
    table = opened[0].metrics["table"]
    assert len(table) == 3 * len(ARMS) * 2
    for row in table:
        of_row = [cell["auc"] for cell in rows if all(cell[key] == row[key] for key in ("arm", "budget", "dataset"))]
        assert row["auc"]["mean"] == pytest.approx(np.mean(of_row))
    artifacts = opened[0].artifacts
    assert len((place.out / "table.csv").read_text().splitlines()) == 1 + len(table)
    assert len((place.out / "cells.csv").read_text().splitlines()) == 1 + len(rows)
    assert "opened once by this study’s folder" in storage.read_bytes(artifacts["report"]).decode()


def test_a_second_call_does_nothing(opened, place):
    before = {path: path.stat().st_mtime_ns for path in place.out.rglob("*") if path.is_file()}
    assert study(place.settings()).up_to_date
    assert {path: path.stat().st_mtime_ns for path in place.out.rglob("*") if path.is_file()} == before


def test_only_with_the_same_folder_trains_nothing_that_stands_and_keeps_the_full_report(opened, place):
    pattern = ["student/8/draw-0/*"]
    for more in ({"test": False}, {}):
        result = study(place.settings(only=pattern, **more))
        for part in ("cells", "table"):
            assert json.dumps(result.metrics[part]) == json.dumps(opened[0].metrics[part]), "NaN is itself here"
    assert place.files("result.json") == opened[1]
    assert place.files("scores.parquet") == opened[2]
    assert place.openings() == opened[3]
    model = place.out / "cells" / "student/8/draw-0/seed-0"
    before = (model / "model" / "model.safetensors").read_bytes()
    (model / "result.json").unlink()
    study(place.settings(only=pattern, test=False))
    assert (model / "model" / "model.safetensors").read_bytes() == before, "the same model again"
    assert not (model / "scores.json").exists()
    again = study(place.settings())
    assert again.metrics["openings"] == 2, "with the same settings"
    found, before = ([{**row, "seconds": 0} for row in one.metrics["cells"]] for one in (again, opened[0]))
    assert json.dumps(found) == json.dumps(before)


def test_a_new_test_set_trains_nothing_again_and_every_cell_is_scored_on_it(opened, place):
    before = place.files("result.json")
    write_phantoms(str(place.folder / "third"), num_patients=6, seed=2, side_px=64, camera="b", prefix="c")
    index = place.settings().index.model_dump(mode="json")
    third = {
        key: value.replace("elsewhere", "third")
        for key, value in index["sources"]["elsewhere"].items()
        if isinstance(value, str)
    }
    index["sources"]["third"] = {**index["sources"]["elsewhere"], **third}
    result = study(place.settings(index=index))
    assert place.files("result.json") == before
    assert {cell["dataset"] for cell in result.metrics["cells"]} == {"validation", "phantoms", "elsewhere", "third"}
    assert place.openings()[-1]["num_models"] == len(CELLS)


def test_a_changed_arm_is_trained_again_with_whom_it_teaches_and_the_second_opening_is_told(opened, place, capfd):
    arms = {**ARMS, "scratch": {**ARMS["scratch"], "augment": "none"}}
    study(place.settings())
    before = place.files("result.json"), place.files("scores.parquet")
    result = study(place.settings(arms))
    again = {name for name, time in place.files("result.json").items() if time != before[0][name]}
    assert again == {name for name in CELLS if name.startswith(("scratch/", "student/"))}
    scored = {name for name, time in place.files("scores.parquet").items() if time != before[1][name]}
    assert scored == again, "the others' scores stand"
    *_, first, second = place.openings()
    assert first["study"] != second["study"]
    assert (second["num_models"], result.metrics["openings"]) == (len(again), len(place.openings()))
    told = "what was chosen since then was chosen with their figures in reach"
    assert told in capfd.readouterr().out
    assert told in storage.read_bytes(result.artifacts["report"]).decode()


def test_a_cell_that_fails_stops_its_student_and_no_other_and_closes_the_test_sets(place):
    arms = {
        name: {**arm, "optim": {**arm["optim"], "learning_rate": 1e30}, "at": {}} if name == "scratch" else arm
        for name, arm in ARMS.items()
    }
    out = str(place.folder / "failing")
    settings = place.settings(arms, out=out, budgets=[8], draws=1, tracking={"enabled": False})
    with pytest.raises(RunError, match=r"2 of 4 cells failed, and no test image was scored") as error:
        study(settings)
    assert "scratch/8/draw-0/seed-0: the " in str(error.value)
    assert "lower optim.learning_rate" in str(error.value), "in the words of the training itself"
    assert "student/8/draw-0/seed-0: its teacher scratch/8/draw-0/seed-0 failed" in str(error.value)
    cells = place.folder / "failing" / "cells"
    assert {path.parts[-5] for path in cells.glob("*/*/*/*/result.json")} == {"probe", "fixmatch"}
    assert not (place.folder / "failing" / "openings.json").exists()
    assert (place.folder / "failing" / "report.html").exists()
