"""Datasets into one manifest: splits and a label budget by patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydr.data.budget import BudgetRule, budget_table
from raydr.data.manifest import grades_of, patients_of
from raydr.data.partition import PatientLeak, SplitRule, patient_leak, splits_of
from raydr.data.sources import Source, read_source
from raydr.errors import InputError
from raydr.splits import digest_of, draw_budget


@dataclass(frozen=True, slots=True)
class IndexResult:
    """The manifest, whose training labels may be used, and what was found on the way."""

    manifest: pa.Table
    budget: pa.Table
    """`image_id` of the budgeted images; its metadata hold how they were drawn."""
    exams: pa.Table
    """`EXAMS_SCHEMA`: exams with a reference standard of their own."""
    leak: PatientLeak
    """What test shares with train by patient: nothing, unless the split is by image."""
    num_dropped: int
    """Labels without an image, left out."""
    num_unlisted: int
    """Photographs that no label names, left out."""
    budget_digest: str
    """SHA-256 of the budget's image ids, whatever their order."""


def build_index(sources: Sequence[Source], *, splits: SplitRule, budget: BudgetRule) -> IndexResult:
    """The manifest of all sources and its label budget; what leaks between its splits is for `audit_leaks` to say.

    Args:
        sources: Datasets, their names distinct.
        splits: How the images of internal sources come into train, val and test.
        budget: How many train labels may be used; budgets of one seed and kind are nested.

    Raises:
        InputError: a source that cannot be read; too few patients or labels.
    """
    _check_names(sources)
    tables, exams, num_dropped, num_unlisted = [], [], 0, 0
    for source in sources:
        found = read_source(source)
        num_dropped += found.num_dropped
        num_unlisted += found.num_unlisted
        exams.append(found.exams)
        split = found.rows["split"].to_pylist() if source.external else splits_of(found, splits)
        place = found.rows.column_names.index("split")
        table = found.rows.set_column(place, found.rows.schema.field(place), pa.array(split, pa.string()))
        tables.append(table.filter(pc.is_valid(table["split"])))
    manifest = pa.concat_tables(tables).combine_chunks()
    drawn = drawn_budget(manifest, budget)
    return IndexResult(
        manifest=manifest,
        budget=drawn,
        exams=pa.concat_tables(exams).combine_chunks(),
        leak=patient_leak(manifest),
        num_dropped=num_dropped,
        num_unlisted=num_unlisted,
        budget_digest=digest_of(drawn["image_id"].to_pylist()),
    )


def _check_names(sources: Sequence[Source]) -> None:
    if not sources:
        raise InputError("sources: is empty; at least one dataset is needed")
    names = [source.name for source in sources]
    for name in names:
        # A slash parts the dataset from the rest in image and patient ids.
        if not name or "/" in name:
            raise InputError(f"sources: {name!r} is no name for a dataset; it must not be empty or have a slash")
        if names.count(name) > 1:
            raise InputError(f"sources: {name!r} names two datasets")


def drawn_budget(manifest: pa.Table, rule: BudgetRule) -> pa.Table:
    """A label budget of a manifest's training patients, as `raydr.data.budget.budget_table`.

    Raises:
        InputError: No training image has a grade, or fewer have than are wanted.
    """
    grades, splits = grades_of(manifest), np.asarray(manifest["split"].to_pylist())
    rows = np.flatnonzero((splits == "train") & (grades >= 0))
    if not len(rows):
        raise InputError("budget: no train image has a grade; a label budget needs at least one")
    if (rule.fraction is None) == (rule.count is None):
        raise ValueError("exactly one of fraction and count must be given")
    if rule.count is not None and rule.count > len(rows):
        raise InputError(f"budget: count: {rule.count} is more than the {len(rows)} train images with a grade")
    num_wanted = rule.count if rule.count is not None else max(1, round((rule.fraction or 0.0) * len(rows)))
    patients, image_ids = patients_of(manifest), manifest["image_id"].to_pylist()
    drawn = draw_budget(
        patients[rows].tolist(), grades[rows].tolist(), num_images=num_wanted, seed=rule.seed, balanced=rule.balanced
    )
    chosen = set(drawn)
    return budget_table([image_ids[row] for row in rows if patients[row] in chosen], rule, num_wanted=num_wanted)
