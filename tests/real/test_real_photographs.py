"""Real photographs: discs are found at full size and small, equalising makes two clinics alike, the index is right."""

import csv
import io
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from raydr.data.audit import audit_leaks
from raydr.data.budget import BudgetRule
from raydr.data.index import build_index
from raydr.data.layouts.csv_file import Columns, CsvFile
from raydr.data.layouts.eyepacs import EyePacs
from raydr.data.manifest import summary
from raydr.data.partition import SplitRule
from raydr.data.sources import Source
from raydr.images.fundus import RetinalDisc, find_retinal_disc, sight_retina
from raydr.images.jpeg import decode
from raydr.images.preprocess import Preprocess
from raydr.images.quality import measure_quality

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason="real photographs are not here: ../shared/data does not exist"),
]

# Centre and radius in shares of the picture's width: a circle that was drawn over each original and looked at.
ORIGINALS = {
    "15_left.jpeg": (0.498, 0.333, 0.327),
    "15_right.jpeg": (0.498, 0.333, 0.327),
    "16_left.jpeg": (0.502, 0.333, 0.422),
    "16_right.jpeg": (0.502, 0.333, 0.422),
    "Patient010_L.jpg": (0.453, 0.336, 0.396),
    "Patient010_R.jpg": (0.453, 0.336, 0.396),
}


def dozen(folder: str) -> list[bytes]:
    files = sorted((DATA / folder / "images").iterdir())
    return [path.read_bytes() for path in files[:: len(files) // 12][:12]]


def disc_of(data: bytes) -> tuple[RetinalDisc, int, int]:
    image = decode(data, min_side_px=400)
    return find_retinal_disc(image), *image.shape[:2]


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_disc_of_an_original_is_where_it_is_seen(name):
    disc, _, width = disc_of((DATA / "originals" / name).read_bytes())
    found = (disc.center_x_px / width, disc.center_y_px / width, disc.radius_px / width)
    np.testing.assert_allclose(found, ORIGINALS[name], atol=0.012)


@pytest.mark.parametrize("kind", ["none", "equalize", "clahe", "graham"])
@pytest.mark.parametrize("name", ORIGINALS)
def test_an_original_of_15_megapixels_takes_well_under_a_second(name, kind):
    data = (DATA / "originals" / name).read_bytes()
    # Processor time, so that other work on the machine does not count.
    start = time.process_time()
    found = Preprocess(side_px=224, enhance=kind)(data)
    assert time.process_time() - start < 1.0
    assert found.shape == (224, 224, 3)
    assert not found[:8, :8].any() or kind == "none"
    assert found[112, 8:216].max(axis=1).mean() > 30


@pytest.mark.parametrize("name", ORIGINALS)
def test_reduced_decoding_shows_the_same_as_full_decoding(name):
    """A shard-sized canvas of a picture decoded at a DCT scale is that of the whole picture."""
    data = (DATA / "originals" / name).read_bytes()
    image = decode(data, min_side_px=10_000)
    small, whole = decode(data, min_side_px=300), find_retinal_disc(image)
    scale = image.shape[1] / small.shape[1]
    disc = find_retinal_disc(small)
    found = np.array([disc.center_x_px, disc.center_y_px, disc.radius_px]) * scale
    np.testing.assert_allclose(
        found, [whole.center_x_px, whole.center_y_px, whole.radius_px], atol=0.01 * whole.radius_px
    )


def test_the_discs_of_small_copies_fill_their_squares():
    for data in dozen("eyepacs192"):
        image = decode(data, min_side_px=192)
        disc = find_retinal_disc(image)
        assert image.shape == (192, 192, 3)
        assert 0.85 * 96 < disc.radius_px < 1.1 * 96
        assert Preprocess(side_px=128)(data).shape == (128, 128, 3)


def test_the_discs_of_the_other_clinic_are_cut_at_top_and_bottom():
    for data in dozen("external192"):
        disc, height, width = disc_of(data)
        assert 1.05 * height < 2 * disc.radius_px < 1.35 * height
        assert abs(disc.center_x_px - width / 2) < 0.1 * width
        found = Preprocess(side_px=128)(data)
        assert not found[64:, 60:68].max(axis=2)[-4:].max() > 40
        assert found[64, 6:122].max(axis=1).min() > 20


def every_tenth(folder: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((DATA / folder / "images").iterdir())[::10]]


def test_one_camera_has_one_disc():
    """Of the other clinic's photographs, but for a few taken with another angle of view."""
    found = np.array([(disc.radius_px, disc.center_y_px) for disc, _, _ in map(disc_of, every_tenth("external192"))])
    off = np.abs(found - np.median(found, axis=0)).max(axis=1) / (2 * np.median(found[:, 0]))
    assert (off < 0.02).mean() > 0.95


@pytest.mark.parametrize(("folder", "share"), [("external192", 0.97), ("eyepacs192", 0.96)])
def test_nearly_all_photographs_that_were_graded_are_called_gradable(folder, share):
    """Graders graded all of them; the few refused show hardly a vessel."""
    found = [Preprocess(side_px=192).examine(data).quality for data in every_tenth(folder)]
    assert share < np.mean([quality.gradable for quality in found]) <= 1
    assert np.mean([quality.disc_fraction > 0 for quality in found]) > 0.99


@pytest.mark.parametrize("name", ORIGINALS)
def test_an_original_is_gradable_and_spoilt_it_is_not(name):
    image = decode((DATA / "originals" / name).read_bytes(), min_side_px=600)
    disc = find_retinal_disc(image)
    spoilt = {
        "as it is": image,
        "blurred": cv2.GaussianBlur(image, (0, 0), 6 / 192 * disc.radius_px),
        "dark": (image * 0.1).astype(np.uint8),
        "overexposed": np.clip(image * 6.0, 0, 255).astype(np.uint8),
        "no retina": np.full_like(image, 40),
    }
    found = {what: measure_quality(sight_retina(picture)).gradable for what, picture in spoilt.items()}
    assert found == {what: what == "as it is" for what in spoilt}


@pytest.mark.parametrize("name", ORIGINALS)
def test_an_original_is_examined_in_its_own_pixels(name):
    data = (DATA / "originals" / name).read_bytes()
    found = Preprocess(side_px=224).examine(data)
    with Image.open(io.BytesIO(data)) as image:
        assert (found.width_px, found.height_px) == image.size
    place = np.array([found.disc.center_x_px, found.disc.center_y_px, found.disc.radius_px]) / found.width_px
    np.testing.assert_allclose(place, ORIGINALS[name], atol=0.012)


def colour_statistics(images: list[np.ndarray]) -> np.ndarray:
    """Mean over pictures of each channel's median and spread inside the retina."""
    inside = [image[image.max(axis=2) > 15].astype(float) for image in images]
    return np.mean([np.concatenate([np.median(pixels, axis=0), pixels.std(axis=0)]) for pixels in inside], axis=0)


def test_equalize_makes_the_other_clinic_look_like_the_equalised_copies():
    eyepacs = colour_statistics([Preprocess(side_px=192)(data) for data in dozen("eyepacs192")])
    raw, equalised = (
        colour_statistics([Preprocess(side_px=192, enhance=kind)(data) for data in dozen("external192")])
        for kind in ("none", "equalize")
    )
    assert np.abs(equalised - eyepacs).max() < 12
    assert np.abs(raw - eyepacs).max() > 60


def test_equalize_leaves_the_equalised_copies_nearly_as_they_are():
    """One setting serves both sets."""
    for data in dozen("eyepacs192"):
        plain = Preprocess(side_px=192)(data).astype(int)
        assert np.abs(Preprocess(side_px=192, enhance="equalize")(data) - plain).mean() < 12


def test_no_file_of_either_set_is_unreadable():
    for folder, labels, column in (
        ("eyepacs192", "trainLabels.csv", "image"),
        ("external192", "labels.csv", "image_id"),
    ):
        with (DATA / folder / labels).open(newline="") as file:
            names = [row[column] for row in csv.DictReader(file)]
        preprocess = Preprocess(side_px=64)
        for name in names[:: len(names) // 60]:
            path = DATA / folder / "images" / name
            assert preprocess((path if path.suffix else path.with_suffix(".jpeg")).read_bytes()).shape == (64, 64, 3)


def test_the_index_has_every_image_and_takes_seconds():
    kaggle, other = DATA / "eyepacs192", DATA / "external192"
    start = time.process_time()
    found = build_index(
        [
            Source(
                "eyepacs",
                EyePacs(
                    str(kaggle / "images"),
                    str(kaggle / "trainLabels.csv"),
                    splits=str(kaggle / "split.csv"),
                    allow_partial=True,
                ),
            ),
            Source(
                "clinic",
                CsvFile(
                    str(other / "images"),
                    str(other / "labels.csv"),
                    columns=Columns("image_id", "grade", "patient_id", "eye"),
                ),
                external=True,
            ),
        ],
        splits=SplitRule(),
        budget=BudgetRule(),
    )
    assert time.process_time() - start < 20
    counts = {
        (row["dataset"], row["split"]): (row["images"], row["patients"], [row[f"grade_{grade}"] for grade in range(5)])
        for row in summary(found.manifest)
    }
    assert counts["clinic", "external"] == (589, 295, [276, 99, 166, 32, 16])
    assert counts["eyepacs", "test"] == (664, 332, [464, 48, 112, 20, 20])
    train, val = counts["eyepacs", "train"], counts["eyepacs", "val"]
    assert (train[0] + val[0], train[1] + val[1]) == (4726, 2364)
    assert [sum(pair) for pair in zip(train[2], val[2], strict=True)] == [3461, 332, 710, 127, 96]
    assert val[1] == 355
    assert abs(found.budget.num_rows - 0.02 * train[0]) <= 1
    assert audit_leaks(found.manifest, near_identical=False).num_unreadable == 0
