"""Which photographs of an evaluation are worth a look, and how they come into its report and back."""

from collections.abc import Sequence
from typing import Final, Literal, TypeVar, get_args

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raydr.grades import REFERABLE_GRADE
from raydr.reporting.report import ScoredPicture

_Number = TypeVar("_Number", np.uint8, np.float32)
Kind = Literal["missed", "false alarm", "highest score"]
PICTURE_PX: Final = 160
PICTURES: Final = pa.schema(
    [
        ("kind", pa.string()),
        ("image_id", pa.string()),
        ("dataset", pa.string()),
        ("grade", pa.int64()),
        ("probability", pa.float64()),
        ("thumbnail", pa.binary()),
        ("heat_map", pa.binary()),
    ]
)
"""A row a photograph and kind; ``heat_map`` is null where there is none."""


def choose_pictures(
    grade: NDArray[np.int64], probability: NDArray[np.float64], *, threshold: float, num_each: int = 8
) -> dict[Kind, list[int]]:
    """Rows of the photographs to show: the worst errors to both sides, and the highest scores, the most telling first.

    Args:
        grade: 0 to 4; a photograph without one (-1) is no error.
        probability: Of referable DR; those without one (NaN) are not shown.
        threshold: A referable photograph is missed below it, another one a false alarm from it on.
        num_each: Photographs of a kind, at most.
    """
    order = np.argsort(-np.nan_to_num(probability, nan=-1.0), kind="stable")
    falling = order[np.isfinite(probability[order])]
    is_called = probability >= threshold
    missed = (grade >= REFERABLE_GRADE) & ~is_called
    alarms = (grade >= 0) & (grade < REFERABLE_GRADE) & is_called
    return {
        "missed": falling[missed[falling]][::-1][:num_each].tolist(),
        "false alarm": falling[alarms[falling]][:num_each].tolist(),
        "highest score": falling[:num_each].tolist(),
    }


def reduced(square: NDArray[_Number]) -> NDArray[_Number]:
    """A square picture, or a map over one, of at most `PICTURE_PX`."""
    if len(square) <= PICTURE_PX:
        return square
    size = (PICTURE_PX, PICTURE_PX)
    return np.asarray(cv2.resize(square, size, interpolation=cv2.INTER_AREA), dtype=square.dtype)


def pictures_of(table: pa.Table) -> tuple[Sequence[ScoredPicture], Sequence[ScoredPicture]]:
    """The worst errors and the highest scores in a table of `PICTURES`."""
    found: dict[str, list[ScoredPicture]] = {kind: [] for kind in get_args(Kind)}
    for row in table.to_pylist():
        found[row.pop("kind")].append(ScoredPicture(**row))
    return found["missed"] + found["false alarm"], found["highest score"]
