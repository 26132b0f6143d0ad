"""The AUC by what is judged: an image, an eye, an exam, a patient."""

import dataclasses
from dataclasses import dataclass

from raydr.metrics.bootstrap import AucInterval, auc_interval
from raydr.metrics.delong import delong_interval
from raydr.metrics.judged import Judged, exam_names
from raydr.metrics.levels import LEVELS, Level, gather_units, unit_names
from raydr.metrics.scored_images import ScoredImages


@dataclass(frozen=True, slots=True)
class LevelFigures:
    """The AUC of one kind of unit, each with the largest probability and the highest grade of its images.

    ``num_images`` counts images, ``num_positive`` referable units.
    """

    auc: AucInterval
    """By a bootstrap that resamples patients."""
    delong: AucInterval
    """The same by formula: DeLong's interval, or Obuchowski's where patients have several units."""
    num_units: int


def level_figures(
    scored: ScoredImages, judged: Judged, auc: AucInterval, *, level: float, num_resamples: int, seed: int
) -> dict[Level, LevelFigures]:
    """The figures of the level that was judged, whose ``auc`` is known, and of those whose units hold several images.

    Images whose unit is not known are left out at that level.
    """
    truth, probability, patient = judged.is_referable, judged.probability, judged.patient
    delong = delong_interval(truth, probability, patients=patient, level=level)
    found = {judged.unit: _figures(auc, delong, len(truth), judged.num_images)}
    if judged.unit == "exam":
        return found
    for each in LEVELS[1:]:
        names = unit_names(each, image=scored.image_id, patient=scored.patient, eye=scored.eye, exam=exam_names(scored))
        if names is None:
            continue
        units = gather_units(names, scored.patient, scored.grade, scored.probability)
        if not (units.num_images > 1).any():
            continue
        rows = units.is_referable, units.probability, units.patient
        sampled = auc_interval(*rows, level=level, num_resamples=num_resamples, seed=seed)
        by_formula = delong_interval(*rows[:2], patients=rows[2], level=level)
        found[each] = _figures(sampled, by_formula, len(units.unit), int(units.num_images.sum()))
    return found


def _figures(auc: AucInterval, delong: AucInterval, num_units: int, num_images: int) -> LevelFigures:
    auc, delong = (dataclasses.replace(each, num_images=num_images) for each in (auc, delong))
    return LevelFigures(auc, delong, num_units)
