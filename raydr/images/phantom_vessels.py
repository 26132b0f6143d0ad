"""A phantom's vessels: arteries and veins that leave the optic disc, arch around the macula and branch."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from raydr.images.phantom_eye import Eye
from raydr.images.phantom_plate import Pen, Plane, Plate, Points, absorb, blur

_STEP: Final = 0.02  # between a vessel's points, in radii of the field of view
_EDGE: Final = 1.04
_FOVEAL_ZONE: Final = 0.15  # no vessel comes nearer to the fovea
_THINNEST: Final = 0.004
_DEEPEST: Final = 3
_NARROWING: Final = 0.5  # a vessel's width at its end, of that at its start
# Exponents of red, green and blue that a vessel's blood takes: veins carry darker blood.
_ARTERY: Final = np.array([0.08, 0.38, 0.32])
_VEIN: Final = np.array([0.20, 0.54, 0.40])


@dataclass(frozen=True, slots=True)
class Vessel:
    """A vessel without its branches: points [n, 2] and its width at both ends, in radii of the field of view."""

    points: Points
    width_start: float
    width_end: float
    is_artery: bool

    def width_at(self, share: float) -> float:
        """The width at a share of the length."""
        return self.width_start + share * (self.width_end - self.width_start)


@dataclass(frozen=True, slots=True)
class _Course:
    """How a vessel sets out, in radii and radians."""

    start: tuple[float, float]
    heading: float
    length: float
    width: float
    bend: float
    """How much it turns, in radians a radius."""


def grow_vessels(generator: np.random.Generator, eye: Eye) -> list[Vessel]:
    """An artery and a vein for every quadrant, small vessels across the disc's rim, and all their branches."""
    vessels: list[Vessel] = []
    for is_artery in (False, True):
        width = eye.patient.vessel_width * (0.72 if is_artery else 1.0)
        trunks = [_arcade(generator, eye, up=up, width=width, is_artery=is_artery) for up in (-1, 1)]
        for up in (-1, 1):
            heading = up * (generator.uniform(0.75, 1.05) + (0.3 if is_artery else 0.0))
            course = _Course(_start(generator, eye), heading, 1.1, 0.62 * width, -0.5 * up)
            trunks.append(_walk(generator, eye, course, is_artery=is_artery))
        for heading in (generator.uniform(-0.5, 0.5), np.pi + generator.uniform(-0.45, 0.45)):
            length = generator.uniform(0.3, 0.55)
            course = _Course(_start(generator, eye), float(heading), length, 0.3 * width, generator.normal(0, 0.5))
            trunks.append(_walk(generator, eye, course, is_artery=is_artery))
        for trunk in trunks:
            vessels += _with_branches(generator, eye, trunk, depth=1)
    return vessels


def _start(generator: np.random.Generator, eye: Eye) -> tuple[float, float]:
    """A start in the disc's middle: vessels leave it close to one another."""
    x, y = np.array(eye.disc) + generator.normal(0, 0.16 * eye.patient.disc_radius, 2)
    return float(x), float(y)


def _arcade(generator: np.random.Generator, eye: Eye, *, up: int, width: float, is_artery: bool) -> Vessel:
    """A temporal arcade: a parabola from the disc that opens away from it, the macula inside."""
    reach = generator.uniform(0.48, 0.62) + (0.24 if is_artery else 0.0)
    rise = generator.uniform(0.63, 0.76) - (0.14 if is_artery else 0.0)
    along = np.linspace(0.0, 1.75, 90)
    start = _start(generator, eye)
    points = np.column_stack([start[0] - reach * along**2, start[1] + up * rise * along])
    points += _wobble(generator, along / along[-1], eye.patient.tortuosity * (0.026 if is_artery else 0.02))
    return _cut(eye, Vessel(points, width, _NARROWING * width, is_artery))


def _wobble(generator: np.random.Generator, along: Points, amplitude: float) -> Points:
    """A smooth offset [n, 2] that begins at nought: three waves of falling size."""
    waves = np.array([1.7, 4.0, 8.0])
    phase = generator.uniform(0, 2 * np.pi, (2, 3))
    size = amplitude * generator.uniform(0.4, 1.2, (2, 3)) * np.array([1.0, 0.6, 0.3])
    angles = 2 * np.pi * waves * along[:, None, None] + phase
    return np.asarray((np.minimum(1, 6 * along)[:, None, None] * size * np.sin(angles)).sum(axis=2))


def _walk(generator: np.random.Generator, eye: Eye, course: _Course, *, is_artery: bool) -> Vessel:
    """A vessel along a course, swaying as it goes."""
    steps = max(4, round(course.length / _STEP))
    # The sway is drawn back to nought, so that it winds and does not stray.
    sway = generator.normal(0, 0.11 * eye.patient.tortuosity, steps)
    angles = course.heading + course.bend * _STEP * np.arange(steps)
    angles += np.convolve(sway, 0.9 ** np.arange(steps))[:steps]
    path = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1) * _STEP, axis=0)
    points = np.concatenate([[course.start], path + course.start])
    return _cut(eye, Vessel(points, course.width, _NARROWING * course.width, is_artery))


def _cut(eye: Eye, vessel: Vessel) -> Vessel:
    """The vessel up to where it leaves the field of view or meets the foveal zone, with the width it has there."""
    points = vessel.points
    outside = np.hypot(points[:, 0], points[:, 1]) > _EDGE
    outside |= np.hypot(points[:, 0] - eye.fovea[0], points[:, 1] - eye.fovea[1]) < _FOVEAL_ZONE
    kept = int(np.argmax(outside)) if outside.any() else len(points)
    return Vessel(points[:kept], vessel.width_start, vessel.width_at(kept / len(points)), vessel.is_artery)


def _with_branches(generator: np.random.Generator, eye: Eye, vessel: Vessel, *, depth: int) -> list[Vessel]:
    grown = [vessel]
    count = len(vessel.points)
    if depth > _DEEPEST or count < 8:
        return grown
    side = 1 if generator.random() < 0.5 else -1
    at = int(generator.integers(5, 14))
    while at < count - 3:
        width = vessel.width_at(at / count) * generator.uniform(0.38, 0.68)
        if width > _THINNEST:
            direction = vessel.points[at + 1] - vessel.points[at - 1]
            heading = float(np.arctan2(direction[1], direction[0])) + side * generator.uniform(0.5, 1.0)
            length = (0.14 + 30 * width) * generator.uniform(0.6, 1.3)
            start = (float(vessel.points[at, 0]), float(vessel.points[at, 1]))
            course = _Course(start, heading, length, width, -side * generator.uniform(0.0, 1.8))
            branch = _walk(generator, eye, course, is_artery=vessel.is_artery)
            if len(branch.points) > 3:
                grown += _with_branches(generator, eye, branch, depth=depth + 1)
        side = -side if generator.random() < 0.75 else side
        at += int(generator.integers(7, 22))
    return grown


def paint_vessels(plate: Plate, vessels: list[Vessel], retina: Plane) -> Plane:
    """The retina [3, height, width] behind its vessels; wide ones with a bright reflex along the middle."""
    veins = plate.mask(lambda pen: _draw(pen, [vessel for vessel in vessels if not vessel.is_artery]))
    arteries = plate.mask(lambda pen: _draw(pen, [vessel for vessel in vessels if vessel.is_artery]))
    reflex = blur(plate.mask(lambda pen: _draw_reflexes(pen, vessels)), 0.002 * plate.radius_px)
    veins *= 1 - 0.8 * arteries  # where they cross, the artery is mostly above
    share = 1 - 0.6 * reflex
    return absorb(absorb(retina, _VEIN, veins * share), _ARTERY, arteries * share)


def _draw(pen: Pen, vessels: list[Vessel]) -> None:
    for vessel in sorted(vessels, key=lambda vessel: vessel.width_start):
        for points, width in _stretches(vessel):
            pen.line(points, width, strength=min(1.0, 0.35 + width / 0.026))  # the thinner, the less blood


def _draw_reflexes(pen: Pen, vessels: list[Vessel]) -> None:
    for vessel in vessels:
        for points, width in _stretches(vessel) if vessel.width_start > 0.012 else ():
            pen.line(points, (0.34 if vessel.is_artery else 0.24) * width)


def _stretches(vessel: Vessel) -> list[tuple[Points, float]]:
    """The vessel in up to five stretches of one width each."""
    number = max(1, min(5, len(vessel.points) // 9))
    bounds = [round(index * (len(vessel.points) - 1) / number) for index in range(number + 1)]
    return [
        (vessel.points[bounds[index] : bounds[index + 1] + 1], vessel.width_at((index + 0.5) / number))
        for index in range(number)
    ]
