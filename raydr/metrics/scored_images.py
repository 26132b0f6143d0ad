"""A data set with a model's scores."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raydr.grades import NUM_GRADES
from raydr.metrics.roc import Bools, Floats


@dataclass(frozen=True, slots=True, eq=False)
class ScoredImages:
    """A data set with a model's scores, one row an image; all arrays have the same length.

    What is None is known of no image.
    """

    image_id: NDArray[np.str_]
    patient: NDArray[np.str_]
    grade: NDArray[np.int64]
    """ICDR grade 0 to 4; -1 where ungraded."""
    probability: Floats
    """Of referable DR, in [0, 1]; NaN where the image could not be read."""
    grade_probability: Floats | None = None
    """[N, 5]; None for a model with a binary head."""
    has_patient: Bools | None = None
    """Whether ``patient`` is a known one; else the image counts as a patient of its own. None: all are known."""
    eye: NDArray[np.str_] | None = None
    """`left`, `right` or another name; empty where unknown."""
    exam: NDArray[np.str_] | None = None
    """Empty where unknown."""
    gradable: Bools | None = None
    """Where that is unknown of one image alone, it counts as gradable."""
    quality: Floats | None = None
    """Higher is better; NaN where unknown."""
    camera: NDArray[np.str_] | None = None
    """The camera's name, or its pictures' size; empty where unknown."""
    exam_referable: NDArray[np.int64] | None = None
    """1 and 0: whether the image's exam is referable, where exams were graded and not images; -1 where neither was."""

    def __post_init__(self) -> None:
        length = len(self.image_id)
        per_image = [name for name in self.__dataclass_fields__ if name not in ("image_id", "grade_probability")]
        arrays = {name: getattr(self, name) for name in per_image}
        wrong = [
            f"{name} {each.shape}" for name, each in arrays.items() if each is not None and each.shape != (length,)
        ]
        if self.grade_probability is not None and self.grade_probability.shape != (length, NUM_GRADES):
            wrong.append(f"grade_probability {self.grade_probability.shape}")
        if wrong:
            raise ValueError(f"scored images: {', '.join(wrong)} do not fit {length} image ids")
        if not np.isin(self.grade, np.arange(-1, NUM_GRADES)).all():
            raise ValueError("scored images: grade must be 0 to 4, or -1 where there is none")
        read = self.probability[~np.isnan(self.probability)]
        if ((read < 0) | (read > 1)).any():
            raise ValueError("scored images: probability must lie between 0 and 1, or be NaN where there is none")

    def take(self, places: NDArray[np.generic]) -> "ScoredImages":
        """The images at some places, or those where ``places`` is true."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__}
        taken: dict[str, Any] = {name: None if each is None else each[places] for name, each in arrays.items()}
        return ScoredImages(**taken)
