"""A classifier that is distilled."""

from torch import Tensor, nn

from raydr.models.classifier import Classifier


class Student(nn.Module):
    """A classifier and, where it is to have a teacher's features, what takes its own to their width.

    That is a linear layer where the widths differ, as the regressor of arXiv:1412.6550 (section 2.1), and nothing else;
    it is trained with the classifier and of no use afterwards.

    Args:
        classifier: What is trained and kept.
        feature_width: Of the teacher's features; None: they are not asked for.
    """

    def __init__(self, classifier: Classifier, feature_width: int | None = None) -> None:
        super().__init__()
        self.classifier = classifier
        self.projector: nn.Module | None = None
        if feature_width is not None:
            own = classifier.backbone.num_features
            self.projector = nn.Identity() if own == feature_width else nn.Linear(own, feature_width)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Logits [B, outputs] of images [B, 3, S, S] in [0, 1] and, where asked for, features [B, feature_width]."""
        features = self.classifier.features(image)
        logits = self.classifier.logits(features)
        return (logits,) if self.projector is None else (logits, self.projector(features))
