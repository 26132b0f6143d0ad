"""Datasets into one manifest: splits and a label budget by patient."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raydr.data.manifest import grades_of, patients_of
from raydr.data.sources import Source, read_source
from raydr.errors import InputError
from raydr.splits import deal_patients, digest_of, draw_budget


@dataclass(frozen=True, slots=True)
class IndexResult:
    """The manifest, whose training labels may be used, and what was found on the way."""

    manifest: pa.Table
    budget: pa.Table
    """`image_id` of the budgeted images."""
    num_dropped: int
    """Labels without an image, left out."""
    budget_digest: str
    """SHA-256 of the budget's image ids, whatever their order."""


def build_index(
    sources: Sequence[Source],
    *,
    val_fraction: float,
    test_fraction: float,
    split_seed: int,
    budget_fraction: float | None,
    budget_count: int | None,
    budget_seed: int,
) -> IndexResult:
    """The manifest of all sources and its label budget; what leaks between its splits is for `audit_leaks` to say.

    Where a source gives no splits, its patients with a grade are dealt to val, test and train; where it gives some but
    no val, val is dealt from its train patients. An image without a split goes where its patient is, else to train.

    Args:
        sources: Datasets, their names distinct.
        val_fraction: Share of the patients dealt from.
        test_fraction: Share of the patients of a source without splits.
        split_seed: Of the deal.
        budget_fraction: Share of the graded train images; exactly one of it and ``budget_count`` is given.
        budget_count: Number of graded train images.
        budget_seed: Of the draw; budgets of one seed are nested.

    Raises:
        InputError: a source that cannot be read; too few patients or labels.
    """
    _check_names(sources)
    tables, num_dropped = [], 0
    for source in sources:
        found = read_source(source)
        num_dropped += found.num_dropped
        split = found.rows["split"].to_pylist()
        if not source.external:
            split = _filled_splits(
                found.rows, source=source, val_fraction=val_fraction, test_fraction=test_fraction, seed=split_seed
            )
        place = found.rows.column_names.index("split")
        tables.append(found.rows.set_column(place, found.rows.schema.field(place), pa.array(split, pa.string())))
    manifest = pa.concat_tables(tables).combine_chunks()
    image_ids = _drawn_budget(manifest, fraction=budget_fraction, count=budget_count, seed=budget_seed)
    return IndexResult(
        manifest=manifest,
        budget=pa.table({"image_id": pa.array(image_ids, pa.string())}),
        num_dropped=num_dropped,
        budget_digest=digest_of(image_ids),
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


def _filled_splits(
    rows: pa.Table, *, source: Source, val_fraction: float, test_fraction: float, seed: int
) -> list[str]:
    """The split of every row of an internal source; train patients may be dealt to val, no other changes."""
    patients, grades = patients_of(rows).tolist(), grades_of(rows)
    given: list[str | None] = rows["split"].to_pylist()
    given_of_patient: dict[str, set[str]] = defaultdict(set)
    for patient, split in zip(patients, given, strict=True):
        if split is not None:
            given_of_patient[patient].add(split)
    # A patient without a split of his own, in a source that has splits, is a train patient.
    split_of_patient = {patient: min(splits) for patient, splits in given_of_patient.items()}
    known = set().union(*given_of_patient.values())
    dealt = {"val": val_fraction, "test": test_fraction} if not known else {"val": val_fraction}
    if not known or ("train" in known and "val" not in known):
        from_train = [
            row
            for row, patient in enumerate(patients)
            if grades[row] >= 0 and given_of_patient.get(patient, {"train"}) == {"train"}
        ]
        sets = deal_patients(
            [patients[row] for row in from_train],
            grades[from_train].tolist(),
            fractions=list(dealt.values()),
            seed=seed,
        )
        for (split, fraction), chosen in zip(dealt.items(), sets, strict=True):
            if fraction > 0 and not chosen:
                count = len({patients[row] for row in from_train})
                raise InputError(
                    f"{source.labels}: {count} patients with a grade are too few for {split}_fraction = {fraction:g}"
                )
            split_of_patient |= dict.fromkeys(chosen, split)
            given = [None if patient in chosen else split for patient, split in zip(patients, given, strict=True)]
    return [split or split_of_patient.get(patient, "train") for patient, split in zip(patients, given, strict=True)]


def _drawn_budget(manifest: pa.Table, *, fraction: float | None, count: int | None, seed: int) -> list[str]:
    grades, splits = grades_of(manifest), np.asarray(manifest["split"].to_pylist())
    rows = np.flatnonzero((splits == "train") & (grades >= 0))
    if not len(rows):
        raise InputError("budget: no train image has a grade; a label budget needs at least one")
    if (fraction is None) == (count is None):
        raise ValueError("exactly one of budget_fraction and budget_count must be given")
    if count is not None and count > len(rows):
        raise InputError(f"budget: count: {count} is more than the {len(rows)} train images with a grade")
    num_images = count if count is not None else max(1, round((fraction or 0.0) * len(rows)))
    patients, image_ids = patients_of(manifest), manifest["image_id"].to_pylist()
    chosen = set(draw_budget(patients[rows].tolist(), grades[rows].tolist(), num_images=num_images, seed=seed))
    return [image_ids[row] for row in rows if patients[row] in chosen]
