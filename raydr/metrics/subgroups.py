"""Whether a model is as good for some of the images as for the others."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.bootstrap import AucInterval
from raydr.metrics.delong import delong_interval
from raydr.metrics.operating import PointFigures, at_threshold
from raydr.metrics.resampling import patient_numbers
from raydr.metrics.roc import Floats, class_scores

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Subgroup:
    """One group of a data set: its AUC, and what the threshold of the whole set does there."""

    factor: str
    group: str
    auc: AucInterval
    point: PointFigures


def subgroups(
    factors: Mapping[str, NDArray[np.str_]],
    truth: NDArray[np.generic],
    scores: NDArray[np.generic],
    patients: NDArray[np.generic],
    threshold: float,
    *,
    level: float = 0.95,
) -> tuple[Subgroup, ...]:
    """The groups of every factor, by rising name, those of which it is not known last.

    A group may be small: AUC intervals are those of `delong_interval`, clustered by patient, which cover as stated
    there too. They are not adjusted for how many groups are looked at. A factor with one group only is left out.

    Args:
        factors: By name, the group of each image, [N]; an empty one where it is not known.
        truth: Whether an image is positive, [N].
        scores: [N], finite.
        patients: Whose each image is, [N].
        threshold: Of the positive calls; NaN where there is none.
        level: Of the intervals.
    """
    is_positive, values = class_scores(truth, scores)
    patient = patient_numbers(patients, len(values))
    found = []
    for factor, groups in factors.items():
        if groups.shape != values.shape:
            raise ValueError(f"{factor}: must be a vector of {len(values)}, one an image, got {groups.shape}")
        names = np.unique(groups).tolist()
        for name in sorted(names, key=lambda name: (not name, name)) if len(names) > 1 else []:
            inside = groups == name
            members = is_positive[inside], values[inside]
            found.append(
                Subgroup(
                    factor=factor,
                    group=name or UNKNOWN,
                    auc=delong_interval(*members, patients=patient[inside], level=level),
                    point=at_threshold(*members, threshold, patients=patient[inside], level=level),
                )
            )
    return tuple(found)


def quantile_groups(values: Floats, num_groups: int = 3) -> NDArray[np.str_]:
    """Groups of about as many images each for a factor that is a number, called "1: 0.12 to 0.45"; NaN is in none ("").

    Images of one value stay together, so that there may be fewer groups.
    """
    known = np.isfinite(values)
    names = np.full(len(values), "", dtype="<U64")
    if not known.any():
        return names
    inner = np.unique(np.quantile(values[known], np.arange(1, num_groups) / num_groups, method="inverted_cdf"))
    place = np.searchsorted(inner, values, side="left")
    for number, each in enumerate(np.unique(place[known]).tolist(), start=1):
        inside = known & (place == each)
        names[inside] = f"{number}: {values[inside].min():.3g} to {values[inside].max():.3g}"
    return names
