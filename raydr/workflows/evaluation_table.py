"""An evaluation in the terminal."""

from collections.abc import Sequence
from typing import Final

from raydr.grades import NUM_GRADES
from raydr.metrics.evaluation import DatasetEvaluation
from raydr.reporting.table import terminal_table
from raydr.reporting.wording import counted, is_defined, left_out, number, point_name, unnamed_patients

_WORST: Final = NUM_GRADES - 1
_MOST_NAMED: Final = 5


def evaluation_table(evaluations: Sequence[DatasetEvaluation]) -> str:
    """The main figures, a line a data set; empty without any."""
    if not evaluations:
        return ""
    first = evaluations[0]
    header = ["data set", f"AUC [{first.auc.level:.0%} interval]", "AUPRC", "sensitivity", "specificity", "ECE"]
    rows = []
    for found in evaluations:
        points = [point for name, point in found.points if name == found.main_point]
        shares = [number(share) for point in points for share in (point.sensitivity.value, point.specificity.value)]
        rows.append(
            [
                found.name if found.unit == "image" else f"{found.name} (by {found.unit})",
                str(found.auc) if is_defined(found.auc.value) else "not defined",
                number(found.average_precision.value),
                *(shares or ["-", "-"]),
                number(found.calibration.error),
                *(str(count) for count in (found.auc.num_images, found.auc.num_patients, found.auc.num_positive)),
            ]
        )
    return terminal_table(rows, [*header, "images", "patients", "referable"])


def evaluation_notes(evaluations: Sequence[DatasetEvaluation]) -> list[str]:
    """What a reader of the figures must know, a sentence each."""
    notes = [_point_note(evaluations[0])] if evaluations else []
    for found in evaluations:
        notes += [
            f"{found.name}: {text}" for text in (unnamed_patients(found), left_out(found), *_missed(found)) if text
        ]
    return notes


def _point_note(found: DatasetEvaluation) -> str:
    for name, point in found.points:
        if name == found.main_point:
            return f"Sensitivity and specificity are those at the threshold {point.threshold:.4g} ({point_name(name)})."
    return "No operating point: no threshold is given, and there are no validation images of both classes."


def _missed(found: DatasetEvaluation) -> list[str]:
    """The images of the worst grade that are not called, by name."""
    missed = None if found.missed_by_grade is None else found.missed_by_grade[_WORST]
    if missed is None or not missed.num_images:
        return []
    named = ", ".join(missed.image_ids[:_MOST_NAMED])
    more = ", …" if missed.num_images > _MOST_NAMED else ""
    total = int(found.histogram[_WORST].sum())
    return [f"{missed.num_images} of {counted(total, 'image')} of grade {_WORST} missed: {named}{more}"]
