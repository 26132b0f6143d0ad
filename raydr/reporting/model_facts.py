"""What a model is, as model card, checklist and report state it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model in words and figures; what is not known is empty."""

    backbone: str
    """Its name in timm."""
    has_grades: bool
    """Whether it gives the five grades; else referable or not."""
    side_px: int
    """Of its square input."""
    crop: bool
    """Whether the square around the retina is cut out."""
    enhance: str
    """How pictures are enhanced; "none" where they are not."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Operating points that it brings along, by name."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Digests and run ids of what it was made from."""
    start: str = ""
    """What its weights were before training."""
    training: Sequence[str] = ()
    """How it was trained, a sentence a stage."""
    selection: str = ""
    """How it was chosen among others."""
    ensemble: str = ""
    """What it was averaged with or taught by."""
