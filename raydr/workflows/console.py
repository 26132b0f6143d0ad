"""What a person reads while a verb runs: one calm line at a time."""

import sys
from collections.abc import Mapping


def say(text: str) -> None:
    """Print one line at once, so that the log of a submitted job shows it."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def epoch_text(verb: str, metrics: Mapping[str, float], *, epochs: int) -> str:
    """One line for an epoch: number, figures, pace, seconds."""
    apart = ("epoch", "seconds", "images_per_s", "data_wait")
    shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name not in apart)
    pace = f"  {metrics['images_per_s']:.0f} images/s" if "images_per_s" in metrics else ""
    return f"  {verb} epoch {int(metrics['epoch']) + 1}/{epochs}  {shown}{pace}  {metrics.get('seconds', 0):.1f} s"


def duration(seconds: float) -> str:
    """Seconds as a person writes them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
