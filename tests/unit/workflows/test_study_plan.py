"""What a study's cells are: identities that change with what shapes them, and with nothing else; nested budgets."""

import numpy as np
import pyarrow as pa
import pytest

from raydr import storage
from raydr.config.jobs import StudySettings
from raydr.data.manifest import SCHEMA
from raydr.engine.package import ModelDescription, save_model
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier
from raydr.tracking.runs import NoTracker
from raydr.workflows.images import Rows
from raydr.workflows.job import Stage
from raydr.workflows.study_plan import Ground, _draw, check_arms, orders_of, plan_cells, study_identity, weights_inputs

ARMS = {
    "scratch": {"kind": "finetune", "model": {"backbone": "test_resnet", "weights": "none"}},
    "student": {"kind": "distill", "teacher": "scratch", "model": {"backbone": "test_resnet", "weights": "none"}},
    "probe": {"kind": "probe", "model": {"backbone": "test_resnet", "weights": "none"}},
}
SOURCE = {"layout": "eyepacs", "images": "i", "labels": "l"}


def study(arms=ARMS, **more):
    return StudySettings.model_validate(
        {
            "job": "study",
            "out": "o",
            "budgets": [8, 16],
            "draws": 2,
            "index": {"sources": {"s": SOURCE}},
            "arms": arms,
            **more,
        }
    )


@pytest.fixture
def plan(tmp_path):
    """The cells of settings by name, on forty graded images of twenty patients."""
    grades = np.resize([0, 0, 1, 2, 3], 40)
    columns = {name: [None] * 40 for name in SCHEMA.names}
    columns |= {"image_id": [f"i{row}" for row in range(40)], "uri": ["u"] * 40, "dataset": ["s"] * 40}
    columns |= {"patient_id": [f"p{row // 2}" for row in range(40)], "grade": grades, "split": ["train"] * 40}
    manifest = pa.table(columns, schema=SCHEMA)
    nobody = np.empty(0, dtype=np.int64)
    rows = Rows(manifest, np.arange(40), nobody, nobody)
    stage = Stage(str(tmp_path), NoTracker(), "", "d", {})

    def made(settings, manifest_digest="m", backbones=None):
        wanted = {(cell.budget, cell.draw) for cell in settings.grid}
        budgets = {key: _draw(stage, rows, *key) for key in wanted}
        ground = Ground("manifest", manifest_digest, rows, Preprocess(side_px=32), budgets, backbones or {})
        return {str(cell.name): cell for cell in plan_cells(stage, settings, ground)}, ground

    return made


def changed(before, after):
    """The arms whose cells are others."""
    return {
        cell.name.arm for name, cell in after.items() if name not in before or before[name].identity != cell.identity
    }


def with_arm(name, **keys):
    return {**ARMS, name: {**ARMS[name], **keys}}


def test_every_cell_is_another_one(plan):
    cells, _ = plan(study(seeds=2))
    assert len({cell.identity for cell in cells.values()}) == len(cells) == 3 * 2 * 2 * 2
    assert len({cell.folder for cell in cells.values()}) == len(cells)


def test_other_settings_of_an_arm_change_it_and_whom_it_teaches(plan):
    cells, _ = plan(study())
    assert changed(cells, plan(study(with_arm("scratch", optim={"epochs": 3})))[0]) == {"scratch", "student"}
    assert changed(cells, plan(study(with_arm("student", optim={"epochs": 3})))[0]) == {"student"}
    assert changed(cells, plan(study(with_arm("probe", class_balance=False)))[0]) == {"probe"}
    assert changed(cells, plan(study({**ARMS, "new": ARMS["probe"]}))[0]) == {"new"}


def test_what_does_not_shape_a_cell_does_not_change_it_and_what_shapes_all_changes_all(plan):
    cells, ground = plan(study())
    same = study(only=["probe/*"], test=False, cpus_per_cell=2.0, reference="probe", cluster={"num_workers": 3})
    again, _ = plan(same)
    assert not changed(cells, again)
    assert {cell.name.arm for cell in again.values()} == {"probe"}
    assert study_identity(same, ground) == study_identity(study(), ground)
    assert changed(cells, plan(study(preprocess={"side_px": 64}))[0]) == set(ARMS)
    assert changed(cells, plan(study(), manifest_digest="other")[0]) == set(ARMS)
    assert study_identity(study(with_arm("probe", class_balance=False)), ground) != study_identity(study(), ground)


def test_more_draws_and_budgets_add_cells_and_change_none(plan):
    cells, _ = plan(study())
    more, _ = plan(study(draws=3, budgets=[4, 8, 16, "all"]))
    assert all(more[name].identity == cell.identity for name, cell in cells.items())
    assert len(more) == 3 * (3 * 3 + 1)


def test_keys_of_one_budget_change_that_budget_alone(plan):
    cells, _ = plan(study())
    other, _ = plan(study(with_arm("probe", at={"8": {"inverse_strengths": [1.0]}})))
    assert {name for name in cells if other[name].identity != cells[name].identity} == {
        "probe/8/draw-0/seed-0",
        "probe/8/draw-1/seed-0",
    }


def test_a_draws_smaller_budget_lies_within_its_larger_one_and_draws_differ(plan):
    cells, _ = plan(study())
    rows = {
        (budget, draw): set(cells[f"probe/{budget}/draw-{draw}/seed-0"].budget.rows)
        for budget in (8, 16)
        for draw in (0, 1)
    }
    assert all(rows[8, draw] < rows[16, draw] for draw in (0, 1))
    assert rows[8, 0] != rows[8, 1]
    assert all(len(found) == budget for (budget, _), found in rows.items())


def test_all_labels_are_all_and_more_than_there_are_is_told(plan):
    cells, _ = plan(study(budgets=["all"]))
    assert len(cells["probe/all/draw-0/seed-0"].budget.rows) == 40
    with pytest.raises(InputError, match="budgets: 41 is more than the 40 training images with a grade"):
        plan(study(budgets=[41]))


def test_a_student_is_told_of_all_networks_of_its_teacher_and_no_grade_but_its_own(plan):
    settings = study(with_arm("scratch", ensemble=2, head={"kind": "grades"}))
    cells, ground = plan(settings)
    cell = cells["student/8/draw-1/seed-0"]
    orders = orders_of(cell, settings, ground, num_threads=1, run_id="run")
    teacher = cells["scratch/8/draw-1/seed-0"].folder
    assert orders.teachers.folders == (storage.join(teacher, "model"), storage.join(teacher, "model-1"))
    assert cell.head == "grades"
    assert len(orders.rows) == len(orders.grades) == 8
    assert orders.provenance["mlflow_run_id"] == "run"


def test_a_named_pretraining_is_where_it_starts_and_another_one_changes_it(plan, tmp_path):
    arms = with_arm("scratch", model={"backbone": "test_resnet", "weights": "pretrains.own"})
    settings = study(arms, pretrains={"own": {"model": {"backbone": "test_resnet"}}})
    cells = []
    for number in (0, 1):
        folder = str(tmp_path / f"own-{number}")
        save_model(
            folder,
            Classifier(create_backbone("test_resnet"), 1),
            ModelDescription("test_resnet", None, Preprocess(side_px=32)),
        )
        cells.append(plan(settings, backbones={"own": folder})[0])
    assert changed(*cells) == {"scratch", "student"}
    assert cells[1]["scratch/8/draw-0/seed-0"].settings.model.weights == str(tmp_path / "own-1")
    assert weights_inputs(settings) == {}


def test_networks_and_losses_that_cannot_be_built_are_told_before_anything_starts():
    with pytest.raises(InputError, match=r"arms\.scratch\.model.backbone: timm knows no model 'resnet'"):
        check_arms(study(with_arm("scratch", model={"backbone": "resnet", "weights": "none"})))
    with pytest.raises(
        InputError, match=r"arms\.student\.distillation\.decoupled_weight: needs a teacher of five grades"
    ):
        check_arms(study(with_arm("student", distillation={"decoupled_weight": 1.0})))
    check_arms(
        study(
            {
                **with_arm("student", distillation={"decoupled_weight": 1.0}),
                "scratch": {**ARMS["scratch"], "head": {"kind": "grades"}},
            }
        )
    )
