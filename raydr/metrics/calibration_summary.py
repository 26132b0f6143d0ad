"""Every figure of a model's calibration on one data set."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.calibration import (
    CalibrationBin,
    adaptive_calibration_bins,
    brier_score,
    calibration_bins,
    calibration_error,
)
from raydr.metrics.estimate import Estimate
from raydr.metrics.recalibration import calibration_fit


@dataclass(frozen=True, slots=True)
class CalibrationSummary:
    """How far probabilities come true; a figure that is not defined is NaN."""

    bins: tuple[CalibrationBin, ...]
    """Of equal width."""
    error: float
    """Expected calibration error of ``bins``."""
    adaptive_bins: tuple[CalibrationBin, ...]
    """Of about as many images each."""
    adaptive_error: float
    brier: float
    slope: Estimate
    """1 where the model is as sure of itself as it should be, less where it is too sure."""
    intercept: Estimate
    """0 where probabilities are neither too high nor too low throughout; less where they are too high."""


def calibration_summary(
    truth: NDArray[np.generic], probabilities: NDArray[np.generic], patients: NDArray[np.generic], *, level: float
) -> CalibrationSummary:
    """The calibration of some probabilities, with intervals that are clustered by patient."""
    bins = calibration_bins(truth, probabilities, patients, level=level)
    adaptive = adaptive_calibration_bins(truth, probabilities, patients, level=level)
    fit = calibration_fit(truth, probabilities, patients, level=level)
    return CalibrationSummary(
        bins=bins,
        error=calibration_error(bins),
        adaptive_bins=adaptive,
        adaptive_error=calibration_error(adaptive),
        brier=brier_score(truth, probabilities),
        slope=fit.slope,
        intercept=fit.intercept,
    )
