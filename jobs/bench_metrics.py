"""Intervals at the size of EyePACS' test set: resamples of 26,788 patients with two scores each, on one core.

  auc                   `auc_interval`: AUC and its interval from 2,000 resamples, the sort included
  auc difference        `bootstrap_auc_difference`, which `raydr compare` uses with `method = "bootstrap"`: two models
                        on the same 2,000 resamples
  average precision     `average_precision_interval`, 2,000 resamples
  delong difference     `auc_difference`: the formula, no resamples
  sklearn auc           a loop over scikit-learn's `roc_auc_score` on the same draws, patients' images looked up in a
                        table; it runs 20 resamples a round, and its time is scaled to 2,000
  sklearn ap            the same with `average_precision_score`

The AUCs of the loop are compared with raydr's own of the same resamples; a difference above 1e-9 ends the run.

  python jobs/bench_metrics.py --json bench_metrics.json
"""

import functools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from benchmark import Figure, arguments, interleaved, publish
from numpy.typing import NDArray

NUM_PATIENTS = 26_788
PREVALENCE = 0.192
PAIRS = [("sklearn auc", "auc"), ("sklearn ap", "average precision")]
_SEED = 0


def draw(num_patients: int) -> tuple[NDArray[Any], ...]:
    """Truth, two models' scores and patients of pairs of eyes, in no order."""
    generator = np.random.default_rng(_SEED)
    patients = np.repeat(np.arange(num_patients), 2)
    truth = np.repeat(generator.random(num_patients) < PREVALENCE, 2)
    common = np.repeat(generator.normal(size=num_patients), 2)
    first, second = (
        (1 / (1 + np.exp(-2 * truth - common - generator.normal(size=len(truth))))).astype(np.float32) for _ in range(2)
    )
    order = generator.permutation(len(truth))
    return truth[order], first[order], second[order], patients[order]


def timed(run: Callable[[], object], resamples: int, whole: int) -> Mapping[str, float]:
    """Milliseconds for ``whole`` resamples, of which ``resamples`` are run."""
    start = time.perf_counter()
    run()
    return {"ms": 1000 * (time.perf_counter() - start) * whole / resamples}


def loop(
    figure: Callable[..., float],
    truth: NDArray[Any],
    scores: NDArray[Any],
    patients: NDArray[Any],
    num_resamples: int,
) -> list[float]:
    """A figure of every resample, one at a time."""
    images = np.argsort(patients, kind="stable").reshape(-1, 2)
    generator, found = np.random.default_rng(_SEED), []
    for _ in range(num_resamples):
        drawn = images[generator.integers(len(images), size=len(images), dtype=np.uint32)].ravel()
        found.append(figure(truth[drawn], scores[drawn]))
    return found


def check_equal(first: list[float], second: NDArray[Any]) -> None:
    """End the run where two ways of computing the same differ."""
    distance = float(np.abs(np.array(first) - second).max())
    if distance > 1e-9:
        raise SystemExit(f"the loop over scikit-learn and raydr differ by {distance}: nothing to compare")


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from sklearn.metrics import average_precision_score, roc_auc_score

    from raydr.metrics.bootstrap import auc_interval, auc_resamples
    from raydr.metrics.comparison import auc_difference, bootstrap_auc_difference
    from raydr.metrics.precision_recall import average_precision_interval

    whole, few = (200, 5) if options.quick else (2000, 20)
    truth, first, second, patients = draw(1000 if options.quick else NUM_PATIENTS)
    check_equal(
        loop(roc_auc_score, truth, first, patients, few),
        auc_resamples(truth, first, patients, num_resamples=few, seed=_SEED),
    )
    runs: dict[str, tuple[Callable[[], object], int]] = {
        "auc": (functools.partial(auc_interval, truth, first, patients, num_resamples=whole), whole),
        "auc difference": (
            functools.partial(bootstrap_auc_difference, truth, first, second, patients, num_resamples=whole),
            whole,
        ),
        "average precision": (
            functools.partial(average_precision_interval, truth, first, patients, num_resamples=whole),
            whole,
        ),
        "delong difference": (functools.partial(auc_difference, truth, first, second, patients), whole),
        "sklearn auc": (functools.partial(loop, roc_auc_score, truth, first, patients, few), few),
        "sklearn ap": (functools.partial(loop, average_precision_score, truth, first, patients, few), few),
    }
    found = interleaved(
        {name: functools.partial(timed, run, resamples, whole) for name, (run, resamples) in runs.items()},
        rounds=options.rounds or (1 if options.quick else 5),
    )
    units = dict.fromkeys(runs, f"ms for {whole} resamples") | {
        "delong difference": "ms, no resamples",
        "sklearn auc": f"ms for {whole} resamples, scaled from {few}",
        "sklearn ap": f"ms for {whole} resamples, scaled from {few}",
    }
    publish({name: Figure(units[name], one["ms"]) for name, one in found.items()}, PAIRS, file=options.json)


if __name__ == "__main__":
    main()
