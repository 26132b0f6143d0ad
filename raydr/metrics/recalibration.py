"""How a model's log odds would have to be bent to come true: slope, intercept, temperature."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.bisection import bisection
from raydr.metrics.calibration import class_probabilities
from raydr.metrics.estimate import Estimate
from raydr.metrics.resampling import patient_numbers
from raydr.metrics.roc import Bools, Floats, class_scores

_LEAST_PROBABILITY = 1e-7  # about float32's distance from 1: what is nearer has no log odds worth the name
_TEMPERATURES = (0.01, 100.0)
_MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class CalibrationFit:
    """Weak calibration (doi:10.1016/j.jclinepi.2015.12.005): the two numbers that a perfect model has as 1 and 0."""

    slope: Estimate
    """Of the truth's log odds on the model's; below 1 where the model is too sure of itself."""
    intercept: Estimate
    """Of the truth's log odds with the slope held at 1; below 0 where the probabilities are too high throughout."""


def calibration_fit(
    truth: NDArray[np.generic],
    probabilities: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    level: float = 0.95,
) -> CalibrationFit:
    """Calibration slope and intercept by logistic regression, with intervals that are robust to clustering by patient.

    Probabilities nearer to 0 or 1 than 1e-7 count as that near. NaN where there is one class only or a single patient;
    the slope also where all probabilities are the same or the classes are apart.
    """
    is_positive, values = class_probabilities(truth, probabilities)
    patient = patient_numbers(patients, len(values))
    offset = log_odds(values)
    nothing = Estimate(math.nan, math.nan, math.nan, level)
    if not is_positive.any() or is_positive.all() or not patient.any():
        return CalibrationFit(nothing, nothing)
    ones = np.ones((len(values), 1))
    intercept = _logistic(is_positive, ones, offset, patient, level)
    positive, negative = offset[is_positive], offset[~is_positive]
    if positive.min() >= negative.max() or negative.min() >= positive.max():
        return CalibrationFit(nothing, intercept)
    # Centred, so that the two columns have little to do with each other; the slope stays the same.
    columns = np.column_stack((offset - offset.mean(), ones))
    return CalibrationFit(_logistic(is_positive, columns, np.zeros(len(values)), patient, level), intercept)


def fit_temperature(truth: NDArray[np.generic], logits: NDArray[np.generic]) -> float:
    """The temperature that a model's log odds are to be divided by (arXiv:1706.04599, section 4.2), 0.01 to 100.

    It minimises the log loss and does not change the order of the images. To be fitted on a validation set. NaN where
    no temperature within these ends does: where one class only is present, the model tells nothing or the reverse of
    the truth, or zero parts the classes.
    """
    is_positive, values = class_scores(truth, logits)
    if not is_positive.any() or is_positive.all():
        return math.nan

    def is_too_low(logarithm: float) -> bool:
        # The log loss is convex in 1 / T: while it rises there, T has to rise.
        scaled = values / math.exp(logarithm)
        return float(((_logistic_function(scaled) - is_positive) * values).sum()) > 0

    low, high = (math.log(end) for end in _TEMPERATURES)
    if not is_too_low(low) or is_too_low(high):
        return math.nan
    return math.exp(bisection(is_too_low, low, high))


def apply_temperature(probabilities: NDArray[np.generic], temperature: float) -> Floats:
    """The probabilities of a model whose log odds are divided by ``temperature``.

    NaN stays NaN.

    Raises:
        ValueError: the temperature is not a positive number.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be a positive number, got {temperature}")
    return _logistic_function(log_odds(probabilities) / temperature)


def log_odds(probabilities: NDArray[np.generic]) -> Floats:
    """Log odds of probabilities in [0, 1]; those nearer to an end than 1e-7 count as that near. NaN stays NaN."""
    values = np.clip(np.asarray(probabilities, dtype=np.float64), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    odds: Floats = np.log(values) - np.log1p(-values)
    return odds


def _logistic_function(values: Floats) -> Floats:
    probabilities: Floats = 0.5 * (1 + np.tanh(0.5 * values))
    return probabilities


def _log_loss(is_positive: Bools, values: Floats) -> float:
    return float(np.logaddexp(0, np.where(is_positive, -values, values)).sum())


def _logistic(is_positive: Bools, columns: Floats, offset: Floats, patient: NDArray[np.intp], level: float) -> Estimate:
    """The first coefficient of a logistic regression by Newton's method, its variance summed by patient (sandwich)."""
    coefficients = np.zeros(columns.shape[1])
    loss = _log_loss(is_positive, offset + columns @ coefficients)
    for _ in range(_MOST_STEPS):
        fitted = _logistic_function(offset + columns @ coefficients)
        information = columns.T @ (columns * (fitted * (1 - fitted))[:, None])
        step = np.linalg.solve(information, columns.T @ (is_positive - fitted))
        # From far away a whole step may overshoot to where the curve is flat. The loss is convex: some part lowers it.
        while (reached := _log_loss(is_positive, offset + columns @ (coefficients + step))) > loss + 1e-9:
            step /= 2
        coefficients, loss = coefficients + step, reached
        if np.abs(step).max() < 1e-9:
            break
    fitted = _logistic_function(offset + columns @ coefficients)
    bread = np.linalg.inv(columns.T @ (columns * (fitted * (1 - fitted))[:, None]))
    residual = columns * (is_positive - fitted)[:, None]
    by_patient = np.column_stack([np.bincount(patient, weights=column) for column in residual.T])
    num_patients = len(by_patient)
    variance = bread @ (by_patient.T @ by_patient) @ bread * num_patients / (num_patients - 1)
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(variance[0, 0])
    value = float(coefficients[0])
    return Estimate(value, value - half, value + half, level)
