"""The last phase of a study: its test sets are opened, every cell is scored, and that it was done is written down."""

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import timm
import torch
from numpy.typing import NDArray

import raydr
from raydr import storage
from raydr.config.images import DataSettings
from raydr.config.jobs import StudySettings
from raydr.engine.package import NUM_OUTPUTS
from raydr.inference.scoring import score_table
from raydr.metrics.judged import judged_images
from raydr.reporting.study_findings import openings_told
from raydr.reporting.study_report import Opening
from raydr.study.records import AucFigures, auc_figures
from raydr.study.tasks import score_cells
from raydr.workflows.console import say
from raydr.workflows.images import small_pool
from raydr.workflows.job import Stage
from raydr.workflows.model_scores import exam_referable, read_exams, test_rows
from raydr.workflows.scored import described
from raydr.workflows.scores import scored_images
from raydr.workflows.study_cells import share_of
from raydr.workflows.study_plan import Cell, Ground, study_identity
from raydr.workflows.study_runs import CellRuns
from raydr.workflows.trials import check_images_fit

OPENINGS: Final = "openings.json"
_SCORES, _SCORED = "scores.parquet", "scores.json"
"""Of a cell: its scores on the test sets, and the figures that say whose they are."""
_UNREADABLE: Final = "unreadable: the photograph could not be decoded"


@dataclass(frozen=True, slots=True)
class TestSet:
    """The images whose scores are wanted: the test sets', then the validation patients'."""

    rows: NDArray[np.int64]
    referable: pa.Array
    """Whether the exam of each is."""


def test_set(ground: Ground) -> TestSet:
    """The images of the internal test split and of every external set, by what the manifest says of them.

    Raises:
        InputError: There is none with a grade.
    """
    manifest = ground.rows.manifest
    referable = exam_referable(manifest, read_exams(ground.manifest))
    tests = test_rows(manifest, None, ground.manifest, referable=referable)
    rows = np.concatenate([tests, ground.rows.validation])
    return TestSet(rows, referable.take(pa.array(rows)))


def open_tests(
    stage: Stage, settings: StudySettings, ground: Ground, cells: Sequence[Cell]
) -> dict[str, dict[str, AucFigures]]:
    """Each cell's figures on each test set; a cell whose scores stand is not scored again."""
    found = {str(cell.name): _standing(cell) for cell in cells}
    left = {str(cell.name): cell for cell in cells if found[str(cell.name)] is None}
    if left:
        _write_down(stage, study_identity(settings, ground), num_models=len(left))
        found |= _score(stage, settings, ground, left)
    return {name: figures for name, figures in found.items() if figures is not None}


def openings(stage: Stage) -> list[Opening]:
    """Every time that the test sets were opened, the first one first."""
    uri = stage.path(OPENINGS)
    content: list[dict[str, Any]] = json.loads(storage.read_bytes(uri)) if storage.exists(uri) else []
    return [Opening(**{**entry, "time": datetime.datetime.fromisoformat(entry["time"])}) for entry in content]


def _write_down(stage: Stage, identity: str, *, num_models: int) -> None:
    """Note that the test sets are being opened, before they are."""
    time = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    versions = {"raydr": raydr.__version__, "torch": torch.__version__, "timm": timm.__version__}
    found = [*openings(stage), Opening(time, identity, num_models, versions)]
    content = [{**dataclasses.asdict(one), "time": one.time.isoformat()} for one in found]
    storage.write_bytes(stage.path(OPENINGS), json.dumps(content, indent=2).encode())
    for line in openings_told(found, identity):
        say(f"  {line}")


def _score(
    stage: Stage, settings: StudySettings, ground: Ground, cells: Mapping[str, Cell]
) -> dict[str, dict[str, AucFigures]]:
    wanted, manifest = test_set(ground), ground.rows.manifest
    check_images_fit("study", settings.cluster, num_images=len(wanted.rows), side_px=settings.preprocess.side_px)
    pool = small_pool(
        DataSettings(manifest=ground.manifest),
        manifest,
        wanted.rows,
        preprocess=ground.preprocess,
        cluster=settings.cluster,
        graded=False,
    )
    place = {row: number for number, row in enumerate(wanted.rows.tolist())}
    places = np.array([place[row] for row in pool.row.tolist()], dtype=np.int64)
    chosen = manifest.take(pa.array(wanted.rows))
    errors: list[str | None] = [_UNREADABLE] * len(wanted.rows)
    for number in places.tolist():
        errors[number] = None
    runs, found = CellRuns(stage), {}
    folders = {name: cell.models[0] for name, cell in cells.items()}
    for name, values in score_cells(folders, pool, share=share_of(settings)):
        logits = np.zeros((len(wanted.rows), NUM_OUTPUTS[cells[name].head]), dtype=np.float32)
        logits[places] = values
        scores = score_table(chosen.select(["image_id", "uri"]), logits, errors)
        table = described(scores, chosen, exam_referable=wanted.referable)
        found[name] = _figures(table)
        _keep(cells[name], table, found[name])
        runs.tested(name, {f"auc.{dataset}": figures.auc for dataset, figures in found[name].items()})
    say(f"  {len(found)} cells scored on {len(wanted.rows) - len(ground.rows.validation)} test images")
    return found


def _figures(table: pa.Table) -> dict[str, AucFigures]:
    """On each test set, in the order of its first row."""
    tested = table.filter(pc.not_equal(table["split"], "val"))
    found = {}
    for name in pc.unique(tested["dataset"]).to_pylist():
        judged = judged_images(scored_images(tested.filter(pc.equal(tested["dataset"], name))))
        found[name] = auc_figures(judged.is_referable, judged.probability, judged.patient)
    return found


def _keep(cell: Cell, table: pa.Table, figures: Mapping[str, AucFigures]) -> None:
    storage.write_table(storage.join(cell.folder, _SCORES), table)
    content = {
        "identity": cell.identity,
        "auc": {name: dataclasses.asdict(one) for name, one in figures.items()},
    }
    storage.write_bytes(storage.join(cell.folder, _SCORED), json.dumps(content, indent=2).encode())


def _standing(cell: Cell) -> dict[str, AucFigures] | None:
    """The figures that the cell has been given before, None where it has none, or others' ones."""
    uri = storage.join(cell.folder, _SCORED)
    if not storage.exists(uri) or not storage.exists(storage.join(cell.folder, _SCORES)):
        return None
    content = json.loads(storage.read_bytes(uri))
    if content["identity"] != cell.identity:
        return None
    return {name: AucFigures(**one) for name, one in content["auc"].items()}
