"""What a study's cells are: identities that change with what shapes them, and with nothing else; nested budgets."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raydr import storage
from raydr.config.jobs import StudySettings
from raydr.data.manifest import SCHEMA, digest_of_rows
from raydr.engine.package import ModelDescription, save_model
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier
from raydr.tracking.runs import NoTracker
from raydr.workflows.images import Rows
from raydr.workflows.job import Stage
from raydr.workflows.study_cells import chain_views
from raydr.workflows.study_ground import Ground, draw_budgets, learning_rows
from raydr.workflows.study_plan import _shaping, check_arms, orders_of, plan_cells, study_identity, weights_inputs

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


def manifest(*, splits=("train",) * 40 + ("val",) * 8, uri="u"):
    """Two images of each patient, in their splits."""
    count = len(splits)
    columns = {name: [None] * count for name in SCHEMA.names}
    columns |= {"image_id": [f"i{row}" for row in range(count)], "uri": [uri] * count, "dataset": ["s"] * count}
    columns |= {"patient_id": [f"p{row // 2}" for row in range(count)], "grade": np.resize([0, 0, 1, 2, 3], count)}
    return pa.table({**columns, "split": splits}, schema=SCHEMA)


@pytest.fixture
def plan(tmp_path):
    """The cells of settings by name, on a manifest of forty training images of twenty patients."""
    stage = Stage(str(tmp_path), NoTracker(), "", "d", {})

    def made(settings, table=None, backbones=None):
        learning = learning_rows(manifest() if table is None else table)
        rows = Rows(learning, np.arange(40), np.empty(0, dtype=np.int64), np.arange(40, 48))
        budgets = draw_budgets(stage, rows, settings.grid)
        images = digest_of_rows(learning)
        ground = Ground("all", "learning", images, rows, Preprocess(side_px=32), budgets, backbones or {})
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
    assert set(again) == set(cells), "what `only` leaves out is still in the report"
    assert study_identity(same, ground) == study_identity(study(), ground)
    assert changed(cells, plan(study(preprocess={"side_px": 64}))[0]) == set(ARMS)
    assert changed(cells, plan(study(seed=1))[0]) == set(ARMS)
    assert study_identity(study(with_arm("probe", class_balance=False)), ground) != study_identity(study(), ground)


def test_test_images_and_places_of_photographs_change_no_cell_and_a_patient_that_is_learnt_from_changes_all(plan):
    cells, ground = plan(study())
    whole = ("train",) * 40 + ("val",) * 8 + ("test",) * 6 + ("external",) * 4
    again, same = plan(study(), manifest(splits=whole, uri="elsewhere"))
    assert not changed(cells, again)
    assert same.rows.manifest.num_rows == 48, "no test image is among them"
    assert study_identity(study(), ground) == study_identity(study(), same)
    other = manifest(splits=("train",) * 40 + ("val",) * 6 + ("test",) * 2)
    assert changed(cells, plan(study(), other)[0]) == set(ARMS)


def test_draws_and_seeds_have_first_weights_of_their_own_and_a_student_its_teachers_seed(plan):
    cells, ground = plan(study(seeds=2))
    seeds = {name: cell.seed for name, cell in cells.items() if name.startswith("student/8/")}
    assert sorted(seeds.values()) == [0, 1, 1000, 1001]
    assert all(cell.teacher is None or cell.teacher.seed == cell.seed for cell in cells.values())
    cell = cells["student/8/draw-1/seed-1"]
    assert orders_of(cell, study(seeds=2), ground, num_threads=1, run_id="").seed == cell.seed == 1001


def test_a_key_that_came_later_changes_no_cell_at_the_value_that_is_what_was_done_before(plan):
    cells, _ = plan(study())
    shaping = _shaping(cells["scratch/8/draw-0/seed-0"].settings, "none")
    assert "keep" in shaping, "a default that a release changes makes another cell"
    assert "validate_every_epochs" not in shaping
    assert changed(cells, plan(study(with_arm("scratch", validate_every_epochs=2)))[0]) == {"scratch", "student"}


def test_cells_that_nobody_wants_are_left_out_where_their_weights_are_not_there_and_wanted_ones_are_told_of(plan):
    gone = with_arm("scratch", model={"backbone": "test_resnet", "weights": "/nowhere/model"})
    cells, _ = plan(study(gone, only=["probe/*"]))
    assert {cell.name.arm for cell in cells.values()} == {"probe"}
    with pytest.raises(InputError, match="/nowhere/model: weights: does not exist"):
        plan(study(gone, only=["student/8/*"]))


def test_weights_on_this_machines_disk_are_copied_to_where_every_node_reads(plan, tmp_path, tmp_path_factory):
    here = tmp_path_factory.mktemp("here")
    network = Classifier(create_backbone("test_resnet"), 1)
    save_model(str(here / "model"), network, ModelDescription("test_resnet", None, Preprocess(side_px=32)))
    (here / "x.safetensors").write_bytes(b"weights")
    for name in ("model", "x.safetensors"):
        arms = with_arm("scratch", model={"backbone": "test_resnet", "weights": str(here / name)})
        first, again = (plan(study(arms))[0]["scratch/8/draw-0/seed-0"] for _ in range(2))
        copy = Path(first.settings.model.weights)
        assert copy.is_relative_to(tmp_path)
        assert (again.settings.model.weights, again.identity) == (str(copy), first.identity)
        whole = [copy] if copy.is_file() else sorted(copy.iterdir())
        source = [here / name] if copy.is_file() else sorted((here / name).iterdir())
        assert [file.read_bytes() for file in whole] == [file.read_bytes() for file in source]


def test_what_the_most_work_waits_for_is_begun_first(plan):
    cells, _ = plan(study(budgets=[8], draws=1))
    work = chain_views(list(cells.values()), num_train=40)
    own = {cell.name.arm: cell.num_views(num_train=40) for cell in cells.values()}
    assert work["scratch/8/draw-0/seed-0"] == own["scratch"] + own["student"]
    assert work["student/8/draw-0/seed-0"] == own["student"]
    assert max(work, key=work.get) == "scratch/8/draw-0/seed-0"


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
    of_one_budget = with_arm("scratch", at={"8": {"model.backbone": "resnet"}})
    with pytest.raises(InputError, match=r"arms\.scratch\.model.backbone: timm knows no model 'resnet'"):
        check_arms(study(of_one_budget))
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
