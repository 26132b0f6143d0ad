"""The manifest: one row an image, null where unknown, written as Parquet."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raydr import storage
from raydr.errors import InputError

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("patient_id", pa.string()),
        pa.field("exam_id", pa.string()),
        pa.field("eye", pa.string()),
        pa.field("grade", pa.int8()),
        pa.field("dme", pa.int8()),
        pa.field("gradable", pa.bool_()),
        pa.field("label_source", pa.string()),
        pa.field("split", pa.string()),
    ]
)
FELLOW_COLUMNS = ("dataset", "patient_id", "exam_id", "split", "eye")
"""What `fellows_of` reads of a manifest."""
SPLITS = ("train", "val", "test", "external")
_SHAPING = ("image_id", "dataset", "patient_id", "exam_id", "eye", "grade", "split")
_ABSOLUTE = r"^(/|[A-Za-z][A-Za-z0-9+.-]*://)"
_STEPS = r"(^|/)\.\.?(/|$)"


def read_manifest(uri: str) -> pa.Table:
    """The manifest at ``uri``; InputError where it is missing or not one."""
    try:
        table = storage.read_table(uri)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{uri}: cannot be read as a manifest (Parquet): {storage.cause_of(error)}") from None
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise InputError(f"{uri}: {missing[0]}: the column is missing; a manifest has {', '.join(SCHEMA.names)}")
    table = table.select(SCHEMA.names)
    for field in SCHEMA:
        try:
            table = table.set_column(table.column_names.index(field.name), field, table[field.name].cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InputError(f"{uri}: {field.name}: is not {field.type}: {error}") from None
    _check_values(table, uri)
    return table


def _check_values(table: pa.Table, uri: str) -> None:
    for field in SCHEMA:
        if not field.nullable and table[field.name].null_count:
            raise InputError(f"{uri}: {field.name}: is null in {table[field.name].null_count} rows; every row needs it")
    check_uris(table["uri"], uri)
    repeated = [name for name, count in Counter(table["image_id"].to_pylist()).items() if count > 1]
    if repeated:
        raise InputError(f"{uri}: image_id: {repeated[0]!r} stands in more than one row")
    for name, allowed in (("grade", range(5)), ("split", SPLITS)):
        odd = sorted(set(pc.unique(table[name]).to_pylist()) - {None, *allowed})
        if odd:
            raise InputError(f"{uri}: {name}: {odd[0]!r}; allowed: {', '.join(map(str, allowed))} or null")


def check_uris(uris: pa.ChunkedArray, manifest: str) -> None:
    """Raise InputError where a photograph of a manifest is not named by where it is alone.

    A path is absolute, since processes have other current folders, and has no `.` and `..`, so that what it begins
    with, a folder or a bucket, is what it is in.
    """
    is_plain = pc.and_(pc.match_substring_regex(uris, _ABSOLUTE), pc.invert(pc.match_substring_regex(uris, _STEPS)))
    odd = uris.filter(pc.invert(is_plain))
    if len(odd):
        raise InputError(
            f"{manifest}: uri: {odd[0].as_py()!r}; allowed: an absolute path or a URI, without '.' and '..' in it; "
            "write absolute paths, as `raydr index` does"
        )


def rows_where(manifest: pa.Table, *, split: str, dataset: str | None = None) -> NDArray[np.int64]:
    """Row numbers of a split, of one dataset or of all."""
    chosen = pc.equal(manifest["split"], split)
    if dataset is not None:
        chosen = pc.and_(chosen, pc.equal(manifest["dataset"], dataset))
    return np.flatnonzero(pc.fill_null(chosen, False).to_numpy(zero_copy_only=False))  # noqa: FBT003  # pyarrow's own


def grades_of(manifest: pa.Table) -> NDArray[np.int64]:
    """The grade of every row, -1 where it has none."""
    return pc.fill_null(pc.cast(manifest["grade"], pa.int64()), -1).to_numpy()  # type: ignore[no-any-return]


def patients_of(manifest: pa.Table) -> NDArray[np.str_]:
    """The patient of every row, unique across datasets; an image of an unknown patient is a patient of its own."""
    names = pc.coalesce(manifest["patient_id"], pc.binary_join_element_wise("image", manifest["image_id"], ":"))
    return pc.binary_join_element_wise(manifest["dataset"], names, "/").to_numpy(zero_copy_only=False).astype(str)  # type: ignore[no-any-return]


def fellows_of(manifest: pa.Table) -> NDArray[np.int64]:
    """For each row the row of the same patient's other eye in the same exam and split, -1 where there is none.

    Needs a named patient and both eyes' names; images without an exam count as one exam of their patient. Where an
    exam has several images of an eye, the first goes with the other eye's first, and so on, over again where that eye
    has fewer.
    """
    columns = (manifest[name].to_pylist() for name in FELLOW_COLUMNS)
    rows: dict[tuple[str | None, ...], dict[str, list[int]]] = {}
    for row, (*exam, eye) in enumerate(zip(*columns, strict=True)):
        if exam[1] is not None and eye in ("left", "right"):
            rows.setdefault(tuple(exam), {"left": [], "right": []})[eye].append(row)
    fellow = np.full(manifest.num_rows, -1, dtype=np.int64)
    for eyes in rows.values():
        for own, other in (("left", "right"), ("right", "left")):
            if eyes[other]:
                fellow[eyes[own]] = np.resize(eyes[other], len(eyes[own]))
    return fellow


def rows_of_images(manifest: pa.Table, image_ids: Sequence[str]) -> NDArray[np.int64]:
    """Row numbers of the named images; InputError where the manifest has not got one."""
    place = {name: row for row, name in enumerate(manifest["image_id"].to_pylist())}
    missing = [name for name in image_ids if name not in place]
    if missing:
        more = f" ({len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(f"budget: image_id: {missing[0]!r} is not in the manifest{more}")
    return np.array([place[name] for name in image_ids], dtype=np.int64)


def digest_of_rows(manifest: pa.Table) -> str:
    """SHA-256 of what a training on these rows, in their order, depends on: not of where the photographs lie."""
    columns = manifest.select(_SHAPING).to_pydict()
    return hashlib.sha256(json.dumps(columns).encode()).hexdigest()


def summary(manifest: pa.Table) -> list[dict[str, int | str]]:
    """Per dataset and split: images, patients, images by grade."""
    grades, patients = grades_of(manifest), patients_of(manifest)
    datasets, splits = np.array(manifest["dataset"].to_pylist()), np.array(manifest["split"].to_pylist())
    found: list[dict[str, int | str]] = []
    for dataset in sorted(set(datasets)):
        for split in SPLITS:
            rows = (datasets == dataset) & (splits == split)
            if rows.any():
                counts = {f"grade_{grade}": int((grades[rows] == grade).sum()) for grade in range(5)}
                base: dict[str, int | str] = {"dataset": str(dataset), "split": split, "images": int(rows.sum())}
                found.append({**base, "patients": len(set(patients[rows])), **counts})
    return found
