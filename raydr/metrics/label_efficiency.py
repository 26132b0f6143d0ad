"""What labels are worth: AUC by arm and number of labels, over draws of the labels."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scipy.stats import t as student_t

VALIDATION: Final = "validation"
"""The data set of the figures that choices are made by."""
_LEAST_DRAWS: Final = 3  # for an interval; two say next to nothing of their spread


@dataclass(frozen=True, slots=True)
class StudyCell:
    """One trained model of a study on one data set."""

    arm: str
    budget: str
    """As the job file writes it, such as "95" or "all"."""
    num_labels: int
    """Labelled training images that it learnt from."""
    draw: int
    """Which draw of the labels."""
    seed: int
    """Which training on that draw."""
    dataset: str
    """`VALIDATION`, or a test set's name."""
    auc: float
    """NaN where only one class is present."""
    standard_error: float
    """Of the AUC, with patients as its unit; NaN where there is none."""
    low: float
    """Of the AUC's interval over patients."""
    high: float
    num_images: int
    num_patients: int
    num_positive: int
    seconds: float
    """That its training took."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Figures of several draws of the labels: their mean and how far they lie apart.

    The interval is for the mean over all draws that could have been made, of labels and of what is random in training,
    on these test images: other patients are the business of the AUC's own standard error.
    """

    mean: float
    lowest: float
    highest: float
    standard_deviation: float
    """NaN for fewer than two draws."""
    low: float
    """Of Student's t-interval over draws; NaN for fewer than three."""
    high: float
    level: float
    num_draws: int


@dataclass(frozen=True, slots=True)
class PairedSpread:
    """The differences of an arm's AUC and the reference arm's on the same draws."""

    spread: Spread
    num_same_sign: int
    """Draws whose difference has the sign of the mean; 0 where the mean is 0."""


@dataclass(frozen=True, slots=True)
class LabelEfficiency:
    """An arm with one budget of labels on one data set, over draws of the labels."""

    arm: str
    budget: str
    num_labels: float
    """Mean over draws: a budget is drawn by patient, and patients differ by an image."""
    dataset: str
    auc: Spread
    """Over draws; of several trainings on a draw their mean counts. Lowest and highest are of single trainings."""
    num_trainings: int
    """Draws times seeds, those that are there."""
    standard_error: float
    """Of one model's AUC over patients: mean over the trainings."""
    num_patients: int
    """Of the data set."""
    difference: PairedSpread | None
    """From the reference arm; None for itself, and where the two share no draw."""


def label_efficiency(
    cells: Sequence[StudyCell], *, reference: str | None = None, level: float = 0.95
) -> tuple[LabelEfficiency, ...]:
    """The table of a study, a row for every data set, arm and budget that has a cell.

    Data sets and arms come in the order of their first cells, budgets by their number of labels.

    Args:
        cells: Those that are there.
        reference: The arm that others are compared with, draw by draw; None for no comparison.
        level: Of the intervals over draws.
    """
    raise NotImplementedError
