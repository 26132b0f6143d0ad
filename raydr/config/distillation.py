"""What a student learns from."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from raydr.config.explain import wrong_keys
from raydr.config.section import Fraction, NonNegativeFloat, PositiveFloat, Section

_WEIGHTS = (
    "soft_weight",
    "hard_weight",
    "sharpened_weight",
    "decoupled_weight",
    "standardised_weight",
    "consistency_weight",
    "feature_weight",
    "label_weight",
)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Teachers = Annotated[
    tuple[str, ...],
    BeforeValidator(_listed, json_schema_input_type=str | tuple[str, ...]),
    Field(min_length=1, strict=False),
]
"""One folder or several; a single one need not be in a list."""


class DistillationSettings(Section):
    """What the student learns from: the teacher's targets on all images, labels on the few; a weight for each loss."""

    targets: Literal["cached", "online"] = "cached"
    """What the teacher judges: each image, once for all students, as it is (`cached`), or in every step the very view
    that the student sees (`online`), which asks it in every step of every epoch."""
    temperature: PositiveFloat = 2.0
    """Softens teacher and student in `soft`, `decoupled` and `standardised`."""
    soft_weight: NonNegativeFloat = 1.0
    """The teacher's softened probabilities (arXiv:1503.02531)."""
    hard_weight: NonNegativeFloat = 0.0
    """The teacher's calls (pseudo-labels), as in arXiv:2208.02408."""
    sharpened_weight: NonNegativeFloat = 0.0
    """The teacher's probabilities, sharpened by `sharpening` (arXiv:1905.02249)."""
    sharpening: Annotated[float, Field(gt=0, le=1)] = 0.5
    """1 leaves the probabilities as they are, towards 0 they become calls."""
    decoupled_weight: NonNegativeFloat = 0.0
    """The right grade and the others weighed apart (arXiv:2203.08679); five grades only."""
    other_grades: NonNegativeFloat = 8.0
    """Weight of the other grades against the right one in `decoupled`."""
    standardised_weight: NonNegativeFloat = 0.0
    """The shape of the teacher's logits, not their scale (arXiv:2403.01427); five grades only."""
    consistency_weight: NonNegativeFloat = 0.0
    """The student's own sure calls on one view, asked for on a strong one (FixMatch, arXiv:2001.07685)."""
    consistency_threshold: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Probability from which on a call is sure."""
    feature_weight: NonNegativeFloat = 0.0
    """The direction of the teacher's pooled features: 1 - cosine, through a linear layer where the widths differ; needs
    `targets = 'online'`."""
    label_weight: NonNegativeFloat = 0.5
    """The true labels on the labelled images."""
    teacher_views: Literal[1, 2, 4, 8] = 4
    """Flips and quarter turns over which the logits that the teacher is asked beforehand are averaged."""
    correct_prior: Literal["none", "balanced", "labelled"] = "none"
    """Put the teacher's outputs right for the training images' own prevalence, which is estimated: a teacher that was
    trained with its classes weighed alike (`balanced`), or at the frequencies of its labels (`labelled`)."""
    fellow_eye_share: Fraction = 0.0
    """How much of an image's target is what the teacher says of the patient's other eye, 0.5 for the mean of both.
    Disease shows in both eyes more often than a teacher's error does, so that one eye puts right what is believed of
    the other, as in co-training (doi:10.1145/279943.279962); an image without a fellow keeps its own."""
    least_confidence: Fraction = 0.0
    """Only images on whose class the teacher is so sure have targets."""
    kept_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Only this share of the images of each class that the teacher calls has targets, the surest first."""

    @property
    def asks_beforehand(self) -> bool:
        """Whether the teacher judges all training images before the student starts: also to choose among them."""
        is_choosy = self.correct_prior != "none" or self.least_confidence > 0 or self.kept_share < 1
        return self.targets == "cached" or is_choosy

    @model_validator(mode="after")
    def _learns_from_something(self) -> Self:
        if not any(getattr(self, name) for name in _WEIGHTS):
            raise wrong_keys([((), f"{', '.join(_WEIGHTS[:-1])} and {_WEIGHTS[-1]} are all 0; one must be above 0")])
        return self

    @model_validator(mode="after")
    def _features_are_seen(self) -> Self:
        if self.feature_weight and self.targets == "cached":
            text = f"must be 0 with targets = 'cached', which holds no features (got {self.feature_weight:g})"
            raise wrong_keys([(("feature_weight",), f"{text}; or set targets = 'online'")])
        return self

    @model_validator(mode="after")
    def _fellow_eyes_are_judged(self) -> Self:
        if self.fellow_eye_share and self.targets == "online":
            text = f"must be 0 with targets = 'online', which judges one view alone (got {self.fellow_eye_share:g})"
            raise wrong_keys([(("fellow_eye_share",), f"{text}; or set targets = 'cached'")])
        return self
