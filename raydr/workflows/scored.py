"""What `evaluate` evaluates, wherever the scores come from: a table with a row an image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from raydr.data.manifest import grades_of, patients_of
from raydr.reporting.model_facts import ModelFacts

GRADES = tuple(f"grade_{grade}" for grade in range(5))


@dataclass(frozen=True, slots=True)
class Scored:
    """Images with their scores and what is known of them, the rows of `scores.parquet`.

    Columns: ``image_id``; ``probability`` (null: unreadable) and, where the model knows grades, ``grade_0`` …
    ``grade_4``; ``dataset``; ``split``, `val` being the rows that thresholds may be chosen on; ``patient``, whether it
    is known (``has_patient``); ``eye``, ``exam``, ``gradable``, ``quality`` and ``camera``, null where unknown;
    ``grade`` (-1: none); ``exam_referable``, the reference of the exam where images have none of their own.
    """

    table: pa.Table
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """The model's own operating points; empty where it has none."""
    data: Sequence[Mapping[str, int | str]] = ()
    """As `raydr.data.manifest.summary`, for the report."""
    notes: Sequence[str] = ()
    """What a reader of the figures must know, a sentence each."""
    about: ModelFacts | None = None
    """The model, where there is one."""
    show: Callable[[Mapping[str, float]], pa.Table] | None = None
    """What makes the photographs of a report at given thresholds; None where there are scores without photographs."""


def described(
    scores: pa.Table,
    images: pa.Table,
    *,
    quality: pa.ChunkedArray | None = None,
    camera: pa.ChunkedArray | None = None,
    exam_referable: pa.Array | None = None,
) -> pa.Table:
    """``scores`` with what is known of the ``images``, as `Scored` has it.

    Args:
        scores: A row an image.
        images: The same images' rows of a manifest, or of a table with its columns.
        quality: Higher is better; None where it is not known of any.
        camera: The camera, or the size of its pictures.
        exam_referable: Whether the image's exam is referable.
    """
    nothing = pa.nulls(images.num_rows)
    # Images of one exam are of one patient, whoever that is.
    owner = pc.coalesce(images["patient_id"], pc.binary_join_element_wise("exam", images["exam_id"], ":"))
    images = images.set_column(images.column_names.index("patient_id"), "patient_id", owner)
    columns = {
        "dataset": images["dataset"],
        "split": images["split"],
        "patient": pa.array(patients_of(images).tolist(), pa.string()),
        "has_patient": pc.is_valid(images["patient_id"]),
        "eye": images["eye"],
        "exam": images["exam_id"],
        "gradable": images["gradable"],
        "quality": pc.cast(nothing if quality is None else quality, pa.float64()),
        "camera": pc.cast(nothing if camera is None else camera, pa.string()),
        "grade": pa.array(grades_of(images)),
        "exam_referable": pc.cast(nothing if exam_referable is None else exam_referable, pa.bool_()),
    }
    for name, values in columns.items():
        scores = scores.append_column(name, values)
    return scores
