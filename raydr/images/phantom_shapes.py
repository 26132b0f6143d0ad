"""Outlines of the spots on a phantom's retina."""

from collections.abc import Sequence

import numpy as np

from raydr.images.phantom_plate import Pen, Points


def blob(
    generator: np.random.Generator, place: tuple[float, float], radius: float, *, rough: float, stretch: float = 1.25
) -> Points:
    """A closed irregular outline [28, 2]: a circle with waves, squeezed in some direction."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    order = np.arange(2, 5)
    waves = np.cos(angle[:, None] * order + generator.uniform(0, 2 * np.pi, 3)) / order
    outline = radius * (1 + rough * waves.sum(axis=1))
    squeeze = np.sqrt(generator.uniform(1.0, stretch))
    tilt = generator.uniform(0, np.pi)
    return turned(np.column_stack([squeeze * np.cos(angle), np.sin(angle) / squeeze]) * outline[:, None], tilt, place)


def turned(points: Points, angle: float, place: tuple[float, float]) -> Points:
    """Points turned by an angle (radians) about nought, then moved to a place."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[cosine, sine], [-sine, cosine]]) + place)


def fill(pen: Pen, shapes: Sequence[Points], strengths: Sequence[float] | np.ndarray | None = None) -> None:
    """Fill outlines, each as strongly as ``strengths`` says."""
    for index, corners in enumerate(shapes):
        pen.polygon(corners, strength=1.0 if strengths is None else float(strengths[index]))
