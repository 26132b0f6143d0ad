"""One phantom: the order in which an eye is drawn and photographed."""

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from raydr.images.phantom_camera import CAMERAS, lay_plate, photograph
from raydr.images.phantom_eye import draw_eye, draw_patient, paint_retina
from raydr.images.phantom_lesions import paint_deep_lesions, paint_shallow_lesions, scatter_lesions
from raydr.images.phantom_vessels import grow_vessels, paint_vessels

CameraName = Literal["a", "b"]
EyeName = Literal["left", "right"]
StreamName = Literal["patient", "anatomy", "lesions", "photograph", "grades", "jpeg"]
_STREAMS: Final[tuple[StreamName, ...]] = get_args(StreamName)


def random_stream(patient_seed: int, name: StreamName, eye: EyeName = "right") -> np.random.Generator:
    """The random numbers of one purpose: a change of one leaves what the others draw as it is."""
    return np.random.default_rng([patient_seed, _STREAMS.index(name), int(eye == "left")])


def draw_phantom(
    *, patient_seed: int, eye: EyeName, grade: int, side_px: int = 384, camera: CameraName = "a"
) -> NDArray[np.uint8]:
    """A made-up fundus photograph, RGB [height, width, 3], of an eye of a grade (0 to 4).

    The same arguments give the same picture. Grade, camera and size change neither the patient nor the eye's anatomy:
    a picture of grade 2 is that of grade 0 with lesions.

    Args:
        patient_seed: The patient: 0 or more.
        eye: ``left`` has its optic disc on the left of the picture.
        grade: See ``scatter_lesions``.
        side_px: The picture's width; camera a's pictures are square, camera b's 3/4 as high.
        camera: ``a`` is warm and shows the whole field of view; ``b`` is paler, sharpened, and cuts top and bottom off.

    Raises:
        ValueError: ``grade`` is not 0 to 4.
    """
    make = CAMERAS[camera]
    of_anatomy = random_stream(patient_seed, "anatomy", eye)
    of_lesions = random_stream(patient_seed, "lesions", eye)
    of_photograph = random_stream(patient_seed, "photograph", eye)
    plate = lay_plate(of_photograph, make, side_px=side_px, is_left=eye == "left")
    the_eye = draw_eye(of_anatomy, draw_patient(random_stream(patient_seed, "patient")))
    lesions = scatter_lesions(of_lesions, the_eye, grade)
    retina = paint_retina(of_anatomy, plate, the_eye)
    retina = paint_deep_lesions(of_lesions, plate, lesions, retina)
    retina = paint_vessels(plate, grow_vessels(of_anatomy, the_eye), retina)
    retina = paint_shallow_lesions(of_lesions, plate, lesions, retina)
    return photograph(of_photograph, plate, make, retina)
