"""By what a data set's images are told apart into subgroups."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.scored_images import ScoredImages
from raydr.metrics.subgroups import quantile_groups

OTHER = "other"
_MOST_CAMERAS = 6
_MOST_VALUES = 5  # of a quality that is a class, not a measurement


def factors_of(scored: ScoredImages) -> dict[str, NDArray[np.str_]]:
    """The group of each image by `eye`, `quality` and `camera`, those that are known; empty where one image's is not.

    Quality is in thirds unless it has five values or fewer. Of cameras the six with most images have a group each.
    """
    found: dict[str, NDArray[np.str_]] = {}
    if scored.eye is not None:
        found["eye"] = scored.eye
    if scored.quality is not None:
        found["quality"] = _quality_groups(scored.quality)
    if scored.camera is not None:
        found["camera"] = _largest_groups(scored.camera)
    return found


def _quality_groups(quality: NDArray[np.float64]) -> NDArray[np.str_]:
    known = np.isfinite(quality)
    if len(np.unique(quality[known])) > _MOST_VALUES:
        return quantile_groups(quality)
    return np.array([f"{value:g}" if np.isfinite(value) else "" for value in quality.tolist()], dtype=np.str_)


def _largest_groups(names: NDArray[np.str_]) -> NDArray[np.str_]:
    """The names, but ``OTHER`` for all but the most frequent ones."""
    counts = Counter(name for name in names.tolist() if name)
    kept = {"", *(name for name, _ in counts.most_common(_MOST_CAMERAS))}
    return np.array([name if name in kept else OTHER for name in names.tolist()], dtype=np.str_)
