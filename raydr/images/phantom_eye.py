"""A phantom's eye: what a patient's two eyes share, where disc and macula lie, and the retina without its vessels."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from raydr.images.phantom_plate import Plane, Plate, absorb, blur, each, mix
from raydr.images.phantom_shapes import blob, fill

# Red, green, blue shares of the light that comes back, as a fundus camera shows them.
_RETINA: Final = np.array([0.68, 0.345, 0.145])
_PIGMENT: Final = np.array([0.35, 0.65, 0.95])  # how much more melanin takes of each colour
_DISC: Final = np.array([0.99, 0.70, 0.33])
_CUP: Final = np.array([1.0, 0.90, 0.62])
_DRUSEN: Final = np.array([0.95, 0.70, 0.36])
_NAEVUS: Final = np.array([0.55, 0.45, 0.25])  # exponents of what it takes of each colour
_CHOROID: Final = np.array([0.10, -0.16, -0.06])  # a choroidal vessel shows redder than the tissue around it


@dataclass(frozen=True, slots=True)
class Patient:
    """What both eyes of a patient share."""

    melanin: float
    tessellation: float
    """How clearly the choroid's vessels show through, 0 to 1."""
    disc_radius: float
    cup_share: float
    has_drusen: bool
    vessel_width: float
    """Of the arcades' veins at the disc, in radii of the field of view."""
    tortuosity: float


@dataclass(frozen=True, slots=True)
class Eye:
    """Where things are in one eye, in the retinal coordinates of ``Plate``."""

    patient: Patient
    disc: tuple[float, float]
    fovea: tuple[float, float]


def draw_patient(generator: np.random.Generator) -> Patient:
    """One patient's traits."""
    return Patient(
        melanin=float(np.clip(generator.normal(0.0, 0.4), -0.7, 0.9)),
        tessellation=float(np.clip(generator.normal(0.25, 0.3), 0.0, 1.0)),
        disc_radius=float(generator.uniform(0.115, 0.15)),
        cup_share=float(generator.uniform(0.3, 0.6)),
        has_drusen=bool(generator.random() < 0.15),
        vessel_width=float(generator.uniform(0.026, 0.036)),
        tortuosity=float(generator.uniform(0.5, 1.5)),
    )


def draw_eye(generator: np.random.Generator, patient: Patient) -> Eye:
    """One eye's landmarks: the fovea 2.4 to 2.7 disc diameters from the disc and a little below it."""
    disc_x, disc_y = generator.uniform(0.42, 0.58), generator.uniform(-0.1, 0.08)
    fovea = (disc_x - generator.uniform(0.68, 0.76), disc_y + generator.uniform(0.0, 0.1))
    return Eye(patient, (float(disc_x), float(disc_y)), (float(fovea[0]), float(fovea[1])))


def paint_retina(generator: np.random.Generator, plate: Plate, eye: Eye) -> Plane:
    """The retina without vessels [3, height, width], 0 to 1: pigment, choroid, macula, optic disc and cup."""
    patient = eye.patient
    macula = plate.bump(*eye.fovea, generator.uniform(0.2, 0.3), height=0.9)
    foveola = plate.bump(*eye.fovea, 0.07)
    mottle = 0.10 * plate.field(generator, cells=7) + 0.05 * plate.field(generator, cells=22)
    grain = 0.035 * plate.field(generator, cells=90)
    melanin = patient.melanin + mottle + grain + 0.48 * macula + 0.38 * foveola
    retina = absorb(each(_RETINA), _PIGMENT, melanin)
    retina *= 1 + _choroid(generator, plate, eye) * each(_CHOROID)
    retina = _paint_harmless_marks(generator, plate, eye, retina)
    retina = mix(retina, _DISC * 0.95, plate.bump(*eye.disc, 0.34) * generator.uniform(0.06, 0.22))
    around_disc, (rows, columns) = plate.window(*eye.disc, 0.3)
    retina[:, rows, columns] = _paint_disc(generator, around_disc, eye, retina[:, rows, columns])
    return retina


def _choroid(generator: np.random.Generator, plate: Plate, eye: Eye) -> Plane:
    """Ribbons where a smooth field crosses zero; the macula hides them."""
    field = plate.field(generator, cells=16)
    ribbons = np.exp(-((field / 0.22) ** 2)) - 0.25
    hidden = 1 - plate.bump(*eye.fovea, 0.5)
    patches = np.clip(0.7 + 0.6 * plate.field(generator, cells=4), 0.0, 1.6)
    return np.asarray(ribbons * hidden * patches * (0.15 + 1.2 * eye.patient.tessellation), dtype=np.float32)


def _paint_harmless_marks(generator: np.random.Generator, plate: Plate, eye: Eye, retina: Plane) -> Plane:
    """Drusen (pale soft spots about the macula) and a naevus: of age and chance, not of diabetes."""
    if eye.patient.has_drusen:
        places = np.array(eye.fovea) + generator.normal(0, 0.22, (int(generator.integers(10, 45)), 2))
        spots = [blob(generator, (x, y), generator.uniform(0.007, 0.018), rough=0.2) for x, y in places.tolist()]
        cover = blur(plate.mask(lambda pen: fill(pen, spots)), 0.007 * plate.radius_px)
        retina = mix(retina, _DRUSEN, generator.uniform(0.3, 0.6) * cover)
    if generator.random() < 0.08:
        x, y = generator.uniform(-0.6, 0.6, 2).tolist()
        spot = blob(generator, (x, y), generator.uniform(0.04, 0.09), rough=0.25)
        retina = absorb(retina, _NAEVUS, blur(plate.mask(lambda pen: fill(pen, [spot])), 0.02 * plate.radius_px))
    return retina


def _paint_disc(generator: np.random.Generator, plate: Plate, eye: Eye, retina: Plane) -> Plane:
    radius, soft = eye.patient.disc_radius, 0.018
    distance = plate.distance(*eye.disc, height=generator.uniform(1.0, 1.15))
    # A rim of pigment on the temporal side, then a pale crescent beside the disc, where an eye has them.
    shifted = plate.distance(eye.disc[0] - 0.02, eye.disc[1], height=1.08)
    crescent = _inside(shifted, radius + generator.uniform(0.0, 0.02), soft) * generator.uniform(0.1, 0.45)
    halo = np.exp(-(((distance - radius - 0.025) / 0.02) ** 2)) * generator.uniform(0.0, 0.18)
    retina = absorb(retina, _PIGMENT, halo)
    retina = mix(retina, _DISC * 0.9, crescent)
    retina = mix(retina, _shade(generator, _DISC), _inside(distance, radius, soft) * generator.uniform(0.82, 0.95))
    cup_x = eye.disc[0] - 0.12 * radius
    cup = _inside(plate.distance(cup_x, eye.disc[1], height=1.1), radius * eye.patient.cup_share, 2 * soft)
    return mix(retina, _CUP, blur(cup, 0.008 * plate.radius_px) * generator.uniform(0.5, 0.9))


def _inside(distance: Plane, radius: float, soft: float) -> Plane:
    """1 inside a circle, 0 outside, ``soft`` wide between."""
    return np.asarray(1 / (1 + np.exp(np.clip((distance - radius) / (soft / 3), -30, 30))), dtype=np.float32)


def _shade(generator: np.random.Generator, colour: NDArray[np.float64]) -> NDArray[np.float64]:
    """The colour a little yellower or pinker."""
    return np.asarray(np.clip(colour * np.exp(generator.normal(0, 0.05, 3) * [0.2, 1, 1.5]), 0, 1))
