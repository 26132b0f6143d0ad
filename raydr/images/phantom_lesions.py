"""A phantom's lesions by grade of the International Clinical Diabetic Retinopathy scale.

The scale: doi:10.1016/S0161-6420(03)00475-5.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from raydr.images.phantom_eye import Eye
from raydr.images.phantom_plate import Pen, Plane, Plate, Points, absorb, blur, mix
from raydr.images.phantom_shapes import blob, fill, turned

_BLOOD: Final = np.array([0.36, 0.95, 0.62])  # exponents that blood takes of red, green, blue
_OLD_BLOOD: Final = np.array([0.55, 1.5, 1.0])
_NEW_VESSEL: Final = np.array([0.10, 0.62, 0.45])
_EXUDATE: Final = np.array([1.0, 0.90, 0.52])
_COTTON_WOOL: Final = np.array([0.93, 0.87, 0.72])
_FIELD: Final = 0.86  # lesions lie inside this radius,
_FIELD_HEIGHT: Final = 0.68  # and not where a camera's mask cuts the top and the bottom off


@dataclass(frozen=True, slots=True)
class Lesions:
    """The shapes of one eye's lesions: polygons [n, 2], and lines for new vessels."""

    red: list[Points] = field(default_factory=list)
    """Microaneurysms and haemorrhages in the retina."""
    exudates: list[Points] = field(default_factory=list)
    cotton_wool: list[Points] = field(default_factory=list)
    new_vessels: list[Points] = field(default_factory=list)
    before_retina: list[Points] = field(default_factory=list)
    """Blood between retina and vitreous, with a level upper edge."""


@dataclass(frozen=True, slots=True)
class _Range:
    """How many of each lesion a grade has: from, up to and including."""

    microaneurysms: tuple[int, int]
    blots: tuple[int, int] = (0, 0)
    flames: tuple[int, int] = (0, 0)
    exudate_clusters: tuple[int, int] = (0, 0)
    cotton_wool: tuple[int, int] = (0, 0)


_RANGES: Final = {
    1: _Range((1, 5)),
    2: _Range((5, 14), blots=(4, 11), flames=(0, 3), exudate_clusters=(0, 2), cotton_wool=(0, 2)),
    3: _Range((15, 35), blots=(20, 40), flames=(2, 7), exudate_clusters=(0, 4), cotton_wool=(1, 5)),
    4: _Range((8, 25), blots=(8, 28), flames=(0, 5), exudate_clusters=(0, 3), cotton_wool=(0, 4)),
}


def scatter_lesions(generator: np.random.Generator, eye: Eye, grade: int) -> Lesions:
    """Lesions of a grade: 1 microaneurysms; 2 blots, exudates, cotton wool; 3 many in all quadrants; 4 new vessels.

    Raises:
        ValueError: ``grade`` is not 0 to 4.
    """
    if not 0 <= grade <= 4:
        raise ValueError(f"grade must be 0 to 4, got {grade}")
    lesions = Lesions()
    if grade == 0:
        return lesions
    of_grade = _RANGES[grade]
    for index in range(_count(generator, of_grade.microaneurysms)):
        place = _place(generator, eye, quadrant=index % 4 if grade > 2 else None)
        lesions.red.append(blob(generator, place, generator.uniform(0.006, 0.011), rough=0.15))
    for index in range(_count(generator, of_grade.blots)):
        place = _place(generator, eye, quadrant=index % 4 if grade > 2 else None)
        radius = float(np.clip(generator.lognormal(np.log(0.022), 0.4), 0.012, 0.06))
        lesions.red.append(blob(generator, place, radius, rough=0.2))
    for _ in range(_count(generator, of_grade.flames)):
        lesions.red.append(_flame(generator, eye))
    for _ in range(_count(generator, of_grade.exudate_clusters)):
        lesions.exudates.extend(_exudate_cluster(generator, eye))
    for _ in range(_count(generator, of_grade.cotton_wool)):
        place = _place(generator, eye, near_disc=True)
        lesions.cotton_wool.append(blob(generator, place, generator.uniform(0.03, 0.06), rough=0.35, stretch=1.5))
    if grade == 4:
        _add_proliferation(generator, eye, lesions)
    return lesions


def _count(generator: np.random.Generator, bounds: tuple[int, int]) -> int:
    return int(generator.integers(bounds[0], bounds[1] + 1))


def _place(
    generator: np.random.Generator, eye: Eye, *, quadrant: int | None = None, near_disc: bool = False
) -> tuple[float, float]:
    """A point in the field of view and off the optic disc; in one of four quadrants about the picture's middle."""
    while True:
        x, y = generator.uniform(-_FIELD, _FIELD), generator.uniform(-_FIELD_HEIGHT, _FIELD_HEIGHT)
        if quadrant is not None:
            x, y = abs(x) * (1 if quadrant % 2 else -1), abs(y) * (1 if quadrant < 2 else -1)
        from_disc = np.hypot(x - eye.disc[0], y - eye.disc[1])
        if np.hypot(x, y) < _FIELD and from_disc > 0.22 and (from_disc < 0.7 or not near_disc):
            return float(x), float(y)


def _flame(generator: np.random.Generator, eye: Eye) -> Points:
    """A haemorrhage drawn out along the nerve fibres, which run from the disc."""
    place = _place(generator, eye, near_disc=True)
    along = np.arctan2(place[1] - eye.disc[1], place[0] - eye.disc[0])
    length, half_width = generator.uniform(0.05, 0.10), generator.uniform(0.010, 0.022)
    share = np.linspace(-1, 1, 12)
    upper = half_width * (1 - share**2) * (1 + 0.5 * generator.standard_normal(12).cumsum() / 12)
    lower = -half_width * (1 - share**2) * (1 + 0.5 * generator.standard_normal(12).cumsum() / 12)
    outline = np.column_stack([np.append(share, share[::-1]) * length, np.append(upper, lower[::-1])])
    return turned(outline, float(along), place)


def _exudate_cluster(generator: np.random.Generator, eye: Eye) -> list[Points]:
    """Hard exudates: many small sharp deposits in a heap or a ring, mostly not far from the macula."""
    while True:
        x, y = np.array(eye.fovea) + generator.normal(0, 0.33, 2)
        if np.hypot(x, y) < _FIELD and abs(y) < _FIELD_HEIGHT and np.hypot(x - eye.disc[0], y - eye.disc[1]) > 0.3:
            break
    count = _count(generator, (12, 40))
    spread = generator.uniform(0.05, 0.13)
    angle = generator.uniform(0, 2 * np.pi) + generator.uniform(0, generator.uniform(2.0, 6.3), count)
    is_ring = generator.random() < 0.4
    distance = spread * (generator.normal(1.0, 0.12, count) if is_ring else np.abs(generator.normal(0, 0.75, count)))
    radius = np.clip(generator.lognormal(np.log(0.011), 0.5, count), 0.005, 0.034)
    places = np.column_stack([x + distance * np.cos(angle), y + distance * np.sin(angle)])
    return [
        blob(generator, (float(place[0]), float(place[1])), float(size), rough=0.4, stretch=1.8)
        for place, size in zip(places, radius, strict=True)
    ]


def _add_proliferation(generator: np.random.Generator, eye: Eye, lesions: Lesions) -> None:
    """New vessels on the disc or elsewhere (at least one frond), mostly with blood before the retina."""
    at_disc = generator.random() < 0.6
    centers = [eye.disc] if at_disc else []
    centers += [_place(generator, eye) for _ in range(_count(generator, (0 if at_disc else 1, 2)))]
    for center in centers:
        lesions.new_vessels.extend(_frond(generator, center))
    if generator.random() < 0.75:
        for _ in range(_count(generator, (1, 2))):
            x, y = _place(generator, eye)
            half_width, depth = generator.uniform(0.10, 0.2), generator.uniform(0.08, 0.16)
            share = np.linspace(-1, 1, 16)
            sag = depth * (1 - share**2) ** 0.5 * (1 + 0.15 * generator.standard_normal(16).cumsum() / 4)
            edge = 0.006 * generator.standard_normal(16)
            outline = np.column_stack([np.append(share, share[::-1]) * half_width, np.append(edge, sag[::-1])])
            lesions.before_retina.append(outline + np.array([x, y - depth / 2]))


def _frond(generator: np.random.Generator, center: tuple[float, float]) -> list[Points]:
    """A net of fine, much wound vessels that spreads from a point."""
    lines = []
    for _ in range(_count(generator, (12, 22))):
        steps = _count(generator, (10, 22))
        angles = generator.uniform(0, 2 * np.pi) + np.cumsum(generator.normal(0, 0.45, steps))
        path = np.cumsum(np.column_stack([np.cos(angles), np.sin(angles)]) * 0.014, axis=0)
        lines.append(path + center)
    return lines


def paint_deep_lesions(generator: np.random.Generator, plate: Plate, lesions: Lesions, retina: Plane) -> Plane:
    """The retina with what lies under its vessels: exudates, microaneurysms, haemorrhages."""
    if lesions.exudates:
        cover = blur(plate.mask(lambda pen: fill(pen, lesions.exudates)), 0.0025 * plate.radius_px)
        retina = mix(retina, _EXUDATE * _light(generator), 0.9 * cover)
    if lesions.red:
        strengths = generator.uniform(0.6, 1.0, len(lesions.red))
        cover = blur(plate.mask(lambda pen: fill(pen, lesions.red, strengths)), 0.005 * plate.radius_px)
        retina = absorb(retina, _BLOOD, cover)
    return retina


def paint_shallow_lesions(generator: np.random.Generator, plate: Plate, lesions: Lesions, retina: Plane) -> Plane:
    """The retina with what covers its vessels: cotton wool, new vessels, blood before the retina."""
    if lesions.cotton_wool:
        cover = blur(plate.mask(lambda pen: fill(pen, lesions.cotton_wool)), 0.014 * plate.radius_px)
        retina = mix(retina, _COTTON_WOOL * _light(generator), 0.8 * cover)
    if lesions.new_vessels:
        cover = plate.mask(lambda pen: _net(pen, lesions.new_vessels))
        retina = absorb(retina, _NEW_VESSEL, cover)
    if lesions.before_retina:
        cover = blur(plate.mask(lambda pen: fill(pen, lesions.before_retina)), 0.006 * plate.radius_px)
        retina = absorb(retina, _OLD_BLOOD, cover)
    return retina


def _light(generator: np.random.Generator) -> float:
    return float(generator.uniform(0.88, 1.0))


def _net(pen: Pen, lines: Sequence[Points]) -> None:
    for points in lines:
        pen.line(points, 0.006)
