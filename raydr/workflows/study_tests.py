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
from raydr.data.manifest import digest_of_rows, read_manifest, rows_of_images
from raydr.engine.package import DESCRIPTION, NUM_OUTPUTS
from raydr.inference.scoring import score_table
from raydr.reporting.study_findings import Opening, openings_told
from raydr.study.records import AucFigures, auc_figures
from raydr.study.tasks import score_cells, shared
from raydr.workflows.console import say
from raydr.workflows.digests import digest_of_tree
from raydr.workflows.images import small_pool
from raydr.workflows.job import Stage
from raydr.workflows.model_scores import exam_referable, read_exams, test_rows
from raydr.workflows.scored import described
from raydr.workflows.study_cells import share_of
from raydr.workflows.study_ground import Ground
from raydr.workflows.study_pairs import SCORES, judged_sets
from raydr.workflows.study_plan import Cell, study_identity
from raydr.workflows.study_runs import CellRuns
from raydr.workflows.trials import check_images_fit

OPENINGS: Final = "openings.json"
_SCORED: Final = "scores.json"
"""Of a cell: the figures of its scores, which say whose they are."""
_UNREADABLE: Final = "unreadable: the photograph could not be decoded"


@dataclass(frozen=True, slots=True)
class TestSet:
    """The images whose scores are wanted: the test sets', then the validation patients'."""

    manifest: pa.Table
    """Of all images."""
    rows: NDArray[np.int64]
    num_tests: int
    """Of the rows: the first ones."""
    referable: pa.Array
    """Whether the exam of each is."""

    @property
    def digest(self) -> str:
        """Of all that figures on them depend on beside the scores."""
        chosen = digest_of_rows(self.manifest.take(pa.array(self.rows)))
        return digest_of_tree([chosen, self.referable.to_pylist()])


def test_set(ground: Ground) -> TestSet:
    """The images of the internal test split and of every external set, by what the manifest says of them.

    Raises:
        InputError: There is none with a grade.
    """
    manifest = read_manifest(ground.manifest)
    referable = exam_referable(manifest, read_exams(ground.manifest))
    tests = test_rows(manifest, None, ground.manifest, referable=referable)
    validation = ground.rows.manifest["image_id"].take(pa.array(ground.rows.validation)).to_pylist()
    rows = np.concatenate([tests, rows_of_images(manifest, validation)])
    return TestSet(manifest, rows, len(tests), referable.take(pa.array(rows)))


def standing_figures(cells: Sequence[Cell], wanted: TestSet) -> dict[str, dict[str, AucFigures]]:
    """Each cell's figures on each test set, of those cells whose scores stand."""
    digest = wanted.digest
    found = {str(cell.name): _standing(cell, digest) for cell in cells}
    return {name: figures for name, figures in found.items() if figures is not None}


def open_tests(
    stage: Stage, settings: StudySettings, ground: Ground, cells: Sequence[Cell], wanted: TestSet
) -> dict[str, dict[str, AucFigures]]:
    """Each cell's figures on each test set; a cell whose scores stand is not scored again."""
    found = standing_figures(cells, wanted)
    left = {str(cell.name): cell for cell in cells if str(cell.name) not in found}
    if left:
        _write_down(stage, study_identity(settings, ground), num_models=len(left))
        found |= _score(stage, settings, ground, left, wanted)
    return found


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
    stage: Stage, settings: StudySettings, ground: Ground, cells: Mapping[str, Cell], wanted: TestSet
) -> dict[str, dict[str, AucFigures]]:
    check_images_fit(
        "study: test",
        settings.cluster,
        num_images=len(wanted.rows),
        side_px=settings.preprocess.side_px,
        cpus=settings.cpus_per_cell,
        gpus=settings.gpus_per_cell,
    )
    pool = small_pool(
        DataSettings(manifest=ground.manifest),
        wanted.manifest,
        wanted.rows,
        preprocess=ground.preprocess,
        cluster=settings.cluster,
        graded=False,
    )
    place = {row: number for number, row in enumerate(wanted.rows.tolist())}
    places = np.array([place[row] for row in pool.row.tolist()], dtype=np.int64)
    chosen, digest = wanted.manifest.take(pa.array(wanted.rows)), wanted.digest
    errors: list[str | None] = [_UNREADABLE] * len(wanted.rows)
    for number in places.tolist():
        errors[number] = None
    runs, found = CellRuns(stage), {}
    folders = {name: cell.models[0] for name, cell in cells.items()}
    held = shared(pool)
    del pool
    for name, values in score_cells(folders, held, share=share_of(settings)):
        logits = np.zeros((len(wanted.rows), NUM_OUTPUTS[cells[name].head]), dtype=np.float32)
        logits[places] = values
        scores = score_table(chosen.select(["image_id", "uri"]), logits, errors)
        table = described(scores, chosen, exam_referable=wanted.referable)
        found[name] = _figures(table)
        _keep(cells[name], digest, table, found[name])
        runs.tested(name, {f"auc.{dataset}": figures.auc for dataset, figures in found[name].items()})
    say(f"  {len(found)} cells scored on {wanted.num_tests} test images")
    return found


def _figures(table: pa.Table) -> dict[str, AucFigures]:
    """On each test set, in the order of its first row."""
    return {
        name: auc_figures(judged.is_referable, judged.probability, judged.patient)
        for name, judged in judged_sets(table.filter(pc.not_equal(table["split"], "val"))).items()
    }


def _keep(cell: Cell, images: str, table: pa.Table, figures: Mapping[str, AucFigures]) -> None:
    storage.write_table(storage.join(cell.folder, SCORES), table)
    content = {
        "identity": cell.identity,
        "model": _digest_of_model(cell),
        "images": images,
        "auc": {name: dataclasses.asdict(one) for name, one in figures.items()},
    }
    storage.write_bytes(storage.join(cell.folder, _SCORED), json.dumps(content, indent=2).encode())


def _standing(cell: Cell, images: str) -> dict[str, AucFigures] | None:
    """The figures that the cell's model was given on these images, None where it was not, or they are torn."""
    uri = storage.join(cell.folder, _SCORED)
    if not storage.exists(uri) or not storage.exists(storage.join(cell.folder, SCORES)):
        return None
    try:
        content = json.loads(storage.read_bytes(uri))
        theirs = content["identity"], content["images"], content["model"]
        if theirs[:2] != (cell.identity, images) or theirs[2] != _digest_of_model(cell):
            return None
        return {name: AucFigures(**one) for name, one in content["auc"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _digest_of_model(cell: Cell) -> str:
    """Of the description of the model that is tested, which holds its weights' digest."""
    return storage.digest_file(storage.join(cell.models[0], DESCRIPTION))
