"""What losses refuse before they compute nonsense in silence."""

from torch import Tensor


def check_pair(student: Tensor, teacher: Tensor, *, what: str = "student and teacher logits") -> None:
    """Raise ValueError unless both are [B, K] of one shape: [B] against [B, 1] would broadcast to [B, B]."""
    if student.ndim != 2 or student.shape != teacher.shape:
        raise ValueError(f"{what} {tuple(student.shape)} and {tuple(teacher.shape)} must have one shape [B, K]")


def check_width(queries: Tensor, keys: Tensor) -> None:
    """Raise ValueError unless they are matrices of one width, however many rows each has."""
    if queries.ndim != 2 or keys.ndim != 2 or queries.shape[1] != keys.shape[1]:
        raise ValueError(f"queries {tuple(queries.shape)} and keys {tuple(keys.shape)} must be matrices of one width")


def check_classes(student: Tensor, teacher: Tensor, *, loss: str) -> None:
    """Raise ValueError unless both are [B, K] with K at least 3: with two classes ``loss`` says nothing."""
    check_pair(student, teacher)
    if student.shape[1] < 3:
        raise ValueError(f"{loss} needs at least 3 classes, got {student.shape[1]} logits: take five grades")


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless it is positive."""
    if not temperature > 0:
        raise ValueError(f"temperature {temperature} must be positive")
