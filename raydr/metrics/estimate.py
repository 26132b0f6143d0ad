"""A figure with its interval."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the interval that holds the true one in ``level`` of all samples; NaN where it is not defined."""

    value: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        """The figure as it is quoted: value and interval to three digits."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"
