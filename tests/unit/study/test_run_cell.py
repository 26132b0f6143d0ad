"""A cell from its orders to its record, without a cluster: every kind, an ensemble, one that was cut off."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from raydr.config.arms import ProbeStage
from raydr.config.stages import DistillStage, FinetuneStage
from raydr.engine.batch import Pool
from raydr.engine.package import load_model
from raydr.images.preprocess import Preprocess
from raydr.metrics.roc import auc
from raydr.study import cell as module
from raydr.study.cell import CellOrders, StudyImages, Teachers, run_cell, score_cell
from raydr.study.context import CellContext
from raydr.study.records import clear_cell, read_record
from raydr.training.single import SingleContext

STAGES = {"finetune": FinetuneStage, "probe": ProbeStage, "distill": DistillStage}


def pool(rows, *, graded):
    draw = np.random.default_rng(rows[0])
    grades = np.resize([0, 3], len(rows))
    images = draw.integers(0, 200, (len(rows), 3, 32, 32), dtype=np.uint8)
    images[grades == 3] += 50
    return Pool(images, np.array(rows), grades if graded else np.full(len(rows), -1))


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch):
    monkeypatch.setattr(SingleContext, "device", torch.device("cpu"))


@pytest.fixture
def images():
    rows = list(range(12, 32))
    return StudyImages(
        pool(range(2, 12), graded=False), pool(rows, graded=True), {row: row // 2 for row in rows}, np.full(40, -1)
    )


@pytest.fixture
def orders(tmp_path):
    """Orders for a cell of a kind with some keys set."""

    def made(kind, *, name="cell", teachers=None, save_every_s=0.0, **keys):
        settings = {"model": {"backbone": "test_resnet", "weights": "none"}, **keys}
        if kind != "probe":
            settings["optim"] = {"batch_size": 4, "epochs": 2, **keys.get("optim", {})}
        return CellOrders(
            name=name,
            identity=f"identity of {name}",
            folder=str(tmp_path / name),
            settings=STAGES[kind].model_validate(settings),
            seed=0,
            rows=np.arange(2, 10),
            grades=np.resize([0, 3], 8),
            preprocess=Preprocess(side_px=32),
            provenance={},
            head="binary",
            teachers=teachers,
            num_threads=1,
            save_every_s=save_every_s,
            save_within_s=None,
            save_every_steps=None,
        )

    return made


FIXMATCH = {"distillation": {"soft_weight": 0.0, "consistency_weight": 1.0}}


@pytest.mark.parametrize(("kind", "keys"), [("finetune", {}), ("probe", {}), ("distill", FIXMATCH)])
def test_a_cell_leaves_a_model_and_its_figures_on_the_validation_patients(kind, keys, orders, images, tmp_path):
    record = run_cell(orders(kind, **keys), images)
    assert read_record(str(tmp_path / "cell"), "identity of cell") == record
    assert (record.num_labels, record.validation.num_images, record.validation.num_patients) == (8, 20, 10)
    assert load_model(str(tmp_path / "cell" / "model")).head == "binary"
    assert len(record.history) == (0 if kind == "probe" else 2)
    if kind != "probe":
        assert record.validation.auc == pytest.approx(record.history[record.best_epoch - 1]["val_auc"], abs=1e-6)
    again = score_cell(str(tmp_path / "cell" / "model"), images.validation, 1)[:, 0]
    assert record.validation.auc == pytest.approx(auc(images.validation.grade >= 2, again.astype(float)), abs=1e-6)
    assert not (tmp_path / "cell" / "states").exists()


def test_a_student_learns_from_all_networks_of_its_teacher(orders, images, tmp_path, monkeypatch):
    taught = run_cell(orders("finetune", name="teacher", ensemble=2), images)
    assert taught.models == ("model", "model-1")
    weights = [load_model(str(tmp_path / "teacher" / name)).network.head.weight for name in taught.models]
    assert not torch.equal(*weights), "another seed"
    folders = tuple(str(tmp_path / "teacher" / name) for name in taught.models)
    heard = []
    learn = module.distil

    def listening(settings, of_cell, teaching, *others):
        heard.append(teaching)
        return learn(settings, of_cell, teaching, *others)

    monkeypatch.setattr(module, "distil", listening)
    teachers = Teachers(folders, str(tmp_path / "teacher" / "outputs"))
    run_cell(orders("distill", name="student", teachers=teachers, distillation={"teacher_views": 2}), images)
    (teaching,) = heard
    assert teaching.folders == folders
    known = np.flatnonzero(~np.isnan(teaching.logits).any(axis=1))
    assert known.tolist() == list(range(2, 12)), "all training images, and no validation image"
    assert (tmp_path / "teacher" / "outputs-2.parquet").exists()


def test_a_cell_that_was_cut_off_goes_on_from_its_last_epoch(orders, images, tmp_path, monkeypatch):
    report = CellContext.report

    def cut(context, metrics, save_state):
        report(context, metrics, save_state)
        if metrics["epoch"] == 1:
            raise KeyboardInterrupt

    wanted = orders("finetune", optim={"epochs": 4, "batch_size": 4})
    monkeypatch.setattr(CellContext, "report", cut)
    with pytest.raises(KeyboardInterrupt):
        run_cell(wanted, images)
    assert read_record(wanted.folder, wanted.identity) is None
    monkeypatch.setattr(CellContext, "report", report)
    states = [json.loads(path.read_text()) for path in tmp_path.glob("cell/states/*/*/state.json")]
    before = max((state["history"] for state in states), key=len)
    record = run_cell(wanted, images)
    assert len(before) == 2
    assert record.history[:2] == before, "those epochs were not run again"
    assert [row["epoch"] for row in record.history] == [0, 1, 2, 3]
    whole = run_cell(dataclasses.replace(wanted, folder=str(tmp_path / "whole")), images)
    assert [row["loss"] for row in record.history] == [row["loss"] for row in whole.history]
    assert record.validation == whole.validation


def test_finished_networks_of_an_ensemble_that_was_cut_off_are_not_trained_again_and_their_seconds_count(
    orders, images, tmp_path, monkeypatch
):
    wanted = orders("finetune", ensemble=2)
    write, clock = module.write_record, [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    report = CellContext.report

    def slow(context, metrics, save_state):
        clock[0] += 10.0
        report(context, metrics, save_state)

    def cut(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(CellContext, "report", slow)
    monkeypatch.setattr(module, "write_record", cut)
    with pytest.raises(KeyboardInterrupt):
        run_cell(wanted, images)
    monkeypatch.setattr(module, "write_record", write)
    monkeypatch.setattr(CellContext, "report", cut)
    clear_cell(wanted.folder)
    assert [path.name for path in (tmp_path / "cell").iterdir()] == ["states"]
    record = run_cell(wanted, images)
    assert record.seconds == 40.0, "two epochs of two networks"
    assert load_model(str(tmp_path / "cell" / "model-1")).head == "binary"


def test_states_of_other_settings_are_not_gone_on_from(orders, images, tmp_path, monkeypatch):
    wanted = orders("finetune")
    report = CellContext.report

    def cut(context, metrics, save_state):
        report(context, metrics, save_state)
        raise KeyboardInterrupt

    monkeypatch.setattr(CellContext, "report", cut)
    with pytest.raises(KeyboardInterrupt):
        run_cell(wanted, images)
    monkeypatch.setattr(CellContext, "report", report)
    other = dataclasses.replace(wanted, identity="another identity", seed=5)
    record = run_cell(other, images)
    alone = run_cell(dataclasses.replace(other, folder=str(tmp_path / "alone")), images)
    assert [row["loss"] for row in record.history] == [row["loss"] for row in alone.history]
