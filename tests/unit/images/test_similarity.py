"""A copy of a photograph is like it however it was made; another eye is not."""

from functools import cache

import cv2
import numpy as np
import pytest

from raydr.images.duplicates import MIN_SIMILARITY, find_near_identical
from raydr.images.enhance import enhance
from raydr.images.fundus import crop_retinal_disc, find_retinal_disc
from raydr.images.jpeg import decode, encode
from raydr.images.phantom import draw_phantom
from raydr.images.similarity import Fingerprint, fingerprint, mirrored_hash, similarity

NUM_PATIENTS = 12


@cache
def photograph(patient: int, eye: str = "left") -> np.ndarray:
    return draw_phantom(patient_seed=patient, eye=eye, grade=patient % 5, side_px=256, camera="ab"[patient % 2])


@cache
def taken(patient: int, eye: str = "left") -> Fingerprint:
    found = fingerprint(photograph(patient, eye))
    assert found is not None
    return found


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    height, width = image.shape[:2]
    return cv2.warpAffine(image, cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1), (width, height))


COPIES = {
    "the same": lambda image: image,
    "jpeg of quality 50": lambda image: decode(encode(image, quality=50), min_side_px=64),
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "twice the size": lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
    "cropped to the disc": lambda image: crop_retinal_disc(image, find_retinal_disc(image), side_px=200),
    "on a wider black": lambda image: cv2.copyMakeBorder(image, 40, 40, 90, 90, cv2.BORDER_CONSTANT),
    "darker": lambda image: (0.7 * image).astype(np.uint8),
    "equalised": lambda image: enhance(image, "equalize"),
    "turned by 1 degree": lambda image: turned(image, 1),
    "turned by 2 degrees": lambda image: turned(image, -2),
}


@pytest.mark.parametrize("copy", COPIES)
def test_copies_of_every_kind_are_found_and_only_with_their_originals(copy):
    copies = [fingerprint(COPIES[copy](photograph(patient))) for patient in range(NUM_PATIENTS)]
    originals = [taken(patient) for patient in range(NUM_PATIENTS)]
    found = find_near_identical([*originals, *copies], np.repeat([0, 1], NUM_PATIENTS))
    assert [(pair.first, pair.second) for pair in found] == [(k, NUM_PATIENTS + k) for k in range(NUM_PATIENTS)]
    assert not any(pair.is_mirrored for pair in found)


def test_mirrored_copies_are_found_and_called_so():
    copies = [fingerprint(np.ascontiguousarray(photograph(patient)[:, ::-1])) for patient in range(NUM_PATIENTS)]
    found = find_near_identical([taken(k) for k in range(NUM_PATIENTS)] + copies, np.repeat([0, 1], NUM_PATIENTS))
    assert [(pair.first, pair.second) for pair in found] == [(k, NUM_PATIENTS + k) for k in range(NUM_PATIENTS)]
    assert all(pair.is_mirrored for pair in found)


def test_different_patients_and_the_two_eyes_of_one_are_not_near_identical():
    eyes = [taken(patient, eye) for patient in range(NUM_PATIENTS) for eye in ("left", "right")]
    assert find_near_identical(eyes, np.arange(len(eyes))) == []
    highest = max(similarity(first.pattern, second.pattern) for n, first in enumerate(eyes) for second in eyes[n + 1 :])
    assert highest < MIN_SIMILARITY - 0.05


def test_similarity_is_one_with_itself_and_the_same_either_way_round():
    first, second = taken(0).pattern, taken(1).pattern
    assert similarity(first, first) == pytest.approx(1, abs=1e-4)
    assert 0 <= similarity(first, second) < 0.5
    assert similarity(first, second) == pytest.approx(similarity(second, first), abs=0.05)


def test_a_mirrored_hash_is_the_hash_of_the_mirrored_picture():
    for patient in range(4):
        mirrored = fingerprint(np.ascontiguousarray(photograph(patient)[:, ::-1]))
        assert np.bitwise_count(mirrored.hash ^ mirrored_hash(taken(patient).hash)).sum() < 40
        assert np.bitwise_count(mirrored.hash ^ taken(patient).hash).sum() > 80
    hashes = np.stack([taken(0).hash, taken(1).hash])
    assert (mirrored_hash(mirrored_hash(hashes)) == hashes).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_nothing_has_no_fingerprint(level):
    assert fingerprint(np.full((200, 300, 3), level, np.uint8)) is None


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5000, 3), (5000, 1, 3), (64, 64, 3)])
def test_pictures_of_any_shape_are_like_themselves_or_show_nothing(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = fingerprint(noise)
    assert found is None or similarity(found.pattern, found.pattern) == pytest.approx(1, abs=1e-3)
