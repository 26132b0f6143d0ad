"""What `raydr evaluate` evaluates: a model on a manifest's images, or scores that somebody has made."""

from typing import Self

from pydantic import model_validator

from raydr.config.explain import wrong_keys
from raydr.config.images import DataSettings
from raydr.config.section import Fraction
from raydr.config.stages import EvaluateStage


class Evaluated(EvaluateStage):
    """Either `model` and `data`, or `scores` and `labels`."""

    data: DataSettings | None = None
    """The images. `exams.parquet` of `index` is looked for beside the manifest: images of its exams have no grades of
    their own and are evaluated exam by exam."""
    model: str | None = None
    """Checkpoint folder, or an MLflow model URI (`models:/raydr@champion`)."""
    scores: str | None = None
    """Anybody's scores, CSV or Parquet: `image_id`, `probability` of referable retinopathy (empty: could not be read)
    and, where the model knows grades, `grade_0` to `grade_4`."""
    labels: str | None = None
    """What is known of the same images, CSV or Parquet, such as the manifest of `index`: `image_id`, `grade` (empty:
    ungraded) and, where they are known, `patient_id`, `eye`, `exam_id`, `gradable`, `quality` (a number), `camera`,
    `dataset`, `split`. Thresholds are chosen on the `val` split; the `train` split is left out."""
    operating_points: dict[str, Fraction] | None = None
    """Thresholds by name; null: the model's own, or else those chosen on the validation images."""

    @model_validator(mode="after")
    def _has_scores_or_makes_them(self) -> Self:
        own, foreign = {"model": self.model, "data": self.data}, {"scores": self.scores, "labels": self.labels}
        pairs = [{name for name, value in pair.items() if value is not None} for pair in (own, foreign)]
        if not any(pairs):
            raise wrong_keys([(("model",), "is required and missing; allowed: model and data, or scores and labels")])
        given, wanted, other = (pairs[0], own, pairs[1]) if pairs[0] else (pairs[1], foreign, pairs[0])
        first = next(name for name in wanted if name in given)
        found = [((name,), f"is required beside {first} and missing") for name in wanted if name not in given]
        found += [((name,), f"cannot stand beside {first}") for name in foreign if name in other]
        if found:
            raise wrong_keys(found)
        return self
