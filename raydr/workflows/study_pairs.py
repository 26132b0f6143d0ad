"""How sure a study's differences between arms are over patients, from the scores of both models on the same images."""

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydr import storage
from raydr.metrics.comparison import difference_error
from raydr.metrics.judged import Judged, judged_images
from raydr.metrics.label_efficiency import VALIDATION
from raydr.workflows.scores import scored_images
from raydr.workflows.study_plan import Cell

SCORES: Final = "scores.parquet"
"""In a cell's folder: its scores on the test sets and on the validation patients."""


def judged_sets(scores: pa.Table) -> dict[str, Judged]:
    """The images of each test set in the order of its first row, then those of the validation patients."""
    is_validation = pc.equal(scores["split"], "val")
    tested, validated = scores.filter(pc.invert(is_validation)), scores.filter(is_validation)
    sets = {name: tested.filter(pc.equal(tested["dataset"], name)) for name in pc.unique(tested["dataset"]).to_pylist()}
    if validated.num_rows:
        sets[VALIDATION] = validated
    return {name: judged_images(scored_images(table)) for name, table in sets.items()}


def difference_errors(
    cells: Sequence[Cell], scored: Collection[str], reference: str | None
) -> dict[tuple[str, str], float]:
    """Standard error over patients of a cell's AUC less the reference arm's, by the cell's name and the data set.

    A cell is paired with the reference arm's of the same budget, draw and seed, on the images that both could score.

    Args:
        cells: Those that are trained.
        scored: The names of those whose scores stand; others have no pair.
        reference: The arm to compare with; None for no comparison.
    """
    known = {str(cell.name): cell for cell in cells if str(cell.name) in scored}
    references: dict[str, dict[str, Judged]] = {}  # read once for all arms; the others are dropped one by one
    found = {}
    for name, cell in known.items():
        partner = None if reference is None else str(cell.name.of_arm(reference))
        if partner is None or partner == name or partner not in known:
            continue
        if partner not in references:
            references[partner] = _judged(known[partner])
        for dataset, judged in _judged(cell).items():
            found[name, dataset] = _error(judged, references[partner][dataset])
    return found


def _judged(cell: Cell) -> dict[str, Judged]:
    return judged_sets(storage.read_table(storage.join(cell.folder, SCORES)))


def _error(first: Judged, second: Judged) -> float:
    _, of_first, of_second = np.intersect1d(first.name, second.name, return_indices=True)
    return difference_error(
        first.is_referable[of_first],
        first.probability[of_first],
        second.probability[of_second],
        first.patient[of_first],
    )
