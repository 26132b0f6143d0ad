"""Phantoms: the same from the same seed, eyes as they should be, folders kept safe, and a fair task to learn."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from raydr.errors import InputError
from raydr.images import phantom
from raydr.images.fundus import find_retinal_disc
from raydr.images.jpeg import decode
from raydr.images.phantom import draw_grades, draw_phantom, write_phantoms
from raydr.images.phantom_camera import CAMERAS, lay_plate
from raydr.images.phantom_eye import draw_eye, draw_patient
from raydr.images.phantom_lesions import scatter_lesions
from raydr.images.phantom_picture import random_stream
from raydr.images.phantom_plate import Plate
from raydr.metrics.roc import auc

EYES = ("left", "right")


def labelled(num_patients: int, *, side_px: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures [n, s, s, 3], whether they are referable, and their patients."""
    grades = [draw_grades(patient) for patient in range(num_patients)]
    pictures = [
        draw_phantom(patient_seed=patient, eye=eye, grade=grade, side_px=side_px)
        for patient, pair in enumerate(grades)
        for eye, grade in zip(EYES, pair, strict=True)
    ]
    return np.stack(pictures), np.ravel(grades) >= 2, np.arange(2 * num_patients) // 2


@pytest.mark.parametrize("camera", ["a", "b"])
def test_the_same_arguments_give_the_same_picture_and_others_another(camera):
    arguments = {"patient_seed": 3, "eye": "left", "grade": 4, "side_px": 128, "camera": camera}
    picture = draw_phantom(**arguments)
    assert picture.dtype == np.uint8
    assert picture.shape == {"a": (128, 128, 3), "b": (96, 128, 3)}[camera]
    np.testing.assert_array_equal(picture, draw_phantom(**arguments))
    assert not np.array_equal(picture, draw_phantom(**{**arguments, "patient_seed": 4}))
    assert not np.array_equal(picture, draw_phantom(**{**arguments, "eye": "right"}))


@pytest.mark.parametrize("grade", [-1, 5])
def test_a_grade_off_the_scale_is_refused(grade):
    with pytest.raises(ValueError, match="grade must be 0 to 4"):
        draw_phantom(patient_seed=0, eye="left", grade=grade)


@pytest.mark.parametrize("camera", ["a", "b"])
def test_the_optic_disc_lies_in_the_left_third_of_a_left_eye_and_the_right_third_of_a_right_eye(camera):
    for patient in range(8):
        for eye in EYES:
            green = draw_phantom(patient_seed=patient, eye=eye, grade=0, side_px=128, camera=camera)[..., 1]
            # The brightest spot as wide as a disc, against what is around it, away from the edge.
            spot, surround = (cv2.GaussianBlur(green.astype(np.float32), (0, 0), sigma) for sigma in (4, 12))
            y, x = np.indices(green.shape)
            inside = np.hypot(x - 64, y - green.shape[0] / 2) < 45
            place = np.argmax(np.where(inside, spot - surround, -255)) % 128 / 128
            assert place < 1 / 3 if eye == "left" else place > 2 / 3


@pytest.mark.parametrize("grade", [1, 2, 3, 4])
def test_a_grade_adds_lesions_and_leaves_the_rest_of_the_picture_alone(grade):
    healthy, diseased = (draw_phantom(patient_seed=5, eye="right", grade=level) for level in (0, grade))
    changed = np.abs(healthy.astype(int) - diseased).max(axis=2) > 2
    assert 0 < changed.mean() < {1: 0.003, 2: 0.06, 3: 0.15, 4: 0.2}[grade]


def test_lesions_are_those_of_the_grade():
    for patient in range(20):
        eye = draw_eye(random_stream(patient, "anatomy"), draw_patient(random_stream(patient, "patient")))
        found = [scatter_lesions(random_stream(patient, "lesions"), eye, grade) for grade in range(5)]
        size = [max((np.ptp(outline, axis=0).max() for outline in lesions.red), default=0) for lesions in found]
        assert [len(lesions.red) for lesions in found[:1]] == [0]
        assert 1 <= len(found[1].red) <= 5
        assert size[1] < 0.03 < size[2]  # microaneurysms only; at 96 pixels a blot is some pixels wide
        assert not found[1].exudates
        assert not found[1].cotton_wool
        for lesions in found[:4]:
            assert not lesions.new_vessels
            assert not lesions.before_retina
        assert found[4].new_vessels
        middles = np.array([outline.mean(axis=0) for outline in found[3].red])
        quadrants = np.bincount((middles[:, 0] > 0) + 2 * (middles[:, 1] > 0), minlength=4)
        assert quadrants.min() >= 5


def test_smooth_noise_is_the_same_at_every_size_and_mirrored_in_a_left_eye():
    small, large = (
        Plate(side, side, side / 2, side / 2, 0.475 * side, is_left=False).field(np.random.default_rng(0), cells=7)
        for side in (96, 384)
    )
    mirrored = Plate(384, 384, 192, 192, 182.4, is_left=True).field(np.random.default_rng(0), cells=7)
    shrunk = cv2.resize(large, (96, 96), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.995
    np.testing.assert_array_equal(mirrored[:, ::-1], large)


def test_prevalence_and_agreement_between_the_eyes_are_as_promised():
    grades = np.array([draw_grades(seed) for seed in range(4000)])
    shares = np.bincount(grades.ravel(), minlength=5) / grades.size
    np.testing.assert_allclose(shares, phantom.PREVALENCE, atol=0.025)
    assert 0.85 < (grades[:, 0] == grades[:, 1]).mean() < 0.89
    assert (np.array([draw_grades(seed, prevalence=(0, 0, 1, 0, 0)) for seed in range(50)]) == 2).all()


@pytest.mark.parametrize("camera", ["a", "b"])
def test_written_pictures_decode_and_their_disc_is_found_where_it_was_drawn(tmp_path, camera):
    assert write_phantoms(tmp_path / "set", num_patients=4, seed=1, side_px=256, camera=camera, prefix="p")
    rows = list(csv.DictReader((tmp_path / "set/trainLabels.csv").open()))
    assert [row["image"] for row in rows] == [f"p{patient:05d}_{eye}" for patient in range(4) for eye in EYES]
    for index, row in enumerate(rows):
        picture = decode((tmp_path / f"set/images/{row['image']}.jpeg").read_bytes(), min_side_px=256)
        assert picture.shape == (256 if camera == "a" else 192, 256, 3)
        seed = int(np.random.SeedSequence([1, index // 2]).generate_state(1)[0])
        assert draw_grades(seed)[index % 2] == int(row["level"])
        stream = random_stream(seed, "photograph", EYES[index % 2])
        plate = lay_plate(stream, CAMERAS[camera], side_px=256, is_left=index % 2 == 0)
        disc = find_retinal_disc(picture)
        found = (disc.center_x_px, disc.center_y_px, disc.radius_px)
        drawn = (plate.center_x_px, plate.center_y_px, plate.radius_px)
        assert found == pytest.approx(drawn, abs=0.025 * plate.radius_px)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_patient_is_the_same_in_a_set_of_any_size(tmp_path):
    for number in (2, 3):
        write_phantoms(tmp_path / str(number), num_patients=number, seed=7, side_px=64)
    few, more = content(tmp_path / "2"), content(tmp_path / "3")
    pictures = {name: data for name, data in few.items() if name.endswith(".jpeg")}
    assert len(pictures) == 4
    assert pictures.items() <= more.items()
    assert more["trainLabels.csv"].startswith(few["trainLabels.csv"])
    write_phantoms(tmp_path / "other", num_patients=2, seed=8, side_px=64)
    assert not pictures.items() & content(tmp_path / "other").items()


def test_the_second_time_nothing_is_drawn(tmp_path, monkeypatch):
    folder = tmp_path / "set"
    folder.mkdir()
    assert write_phantoms(folder, num_patients=2, seed=7, side_px=64)
    before = content(folder)
    monkeypatch.setattr(phantom, "draw_phantom", None)
    assert not write_phantoms(folder, num_patients=2, seed=7, side_px=64)
    assert content(folder) == before
    with pytest.raises(InputError, match="num_patients 2, not 3"):
        write_phantoms(folder, num_patients=3, seed=7, side_px=64)
    assert content(folder) == before


@pytest.mark.parametrize("name", ["notes.txt", "phantoms.json"])
def test_a_folder_of_somebody_elses_is_refused_and_kept(tmp_path, name):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        write_phantoms(folder, num_patients=1, seed=7, side_px=64)
    assert content(tmp_path) == {f"set/{name}": b"mine"}


def test_what_is_cut_off_leaves_nothing_behind(tmp_path):
    def stop(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path / "set", num_patients=2, seed=7, side_px=64, progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_patients": 0}, "num_patients"),
        ({"side_px": 8}, "side_px"),
        ({"prefix": "a/b"}, "prefix"),
        ({"prevalence": (0.5, 0.5)}, "prevalence"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        write_phantoms(tmp_path / "set", **{"num_patients": 1, "seed": 0, **wrong})
    assert not list(tmp_path.iterdir())


def test_the_command_line_writes_once_and_refuses_in_one_line(tmp_path, capsys):
    arguments = [str(tmp_path / "set"), "--patients", "1", "--seed", "5", "--camera", "b", "--side-px", "64"]
    assert phantom.main(arguments) == 0
    assert capsys.readouterr().out.endswith("written\n")
    assert json.loads((tmp_path / "set/phantoms.json").read_text())["camera"] == "b"
    assert phantom.main(arguments) == 0
    assert capsys.readouterr().out.endswith("already there\n")
    arguments[4] = "6"
    assert phantom.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.pipeline
def test_mean_colour_tells_next_to_nothing_about_the_grade():
    pictures, is_referable, patients = labelled(150, side_px=64)
    colours = pictures.reshape(len(pictures), -1, 3).mean(axis=1)
    regression = make_pipeline(StandardScaler(), LogisticRegression())
    folds = GroupKFold(5)
    scores = cross_val_predict(regression, colours, is_referable, groups=patients, cv=folds, method="predict_proba")[
        :, 1
    ]
    assert auc(is_referable, scores) <= 0.60


@pytest.mark.pipeline
def test_a_set_drawn_by_several_processes_equals_one_drawn_by_one(tmp_path, monkeypatch):
    arguments = [str(tmp_path / "many"), "--patients", "26", "--seed", "5", "--side-px", "48"]
    subprocess.run([sys.executable, "-m", "raydr.images.phantom", *arguments], check=True)
    monkeypatch.setattr(phantom, "_FEW_PATIENTS", 26)
    write_phantoms(tmp_path / "one", num_patients=26, seed=5, side_px=48)
    assert content(tmp_path / "many") == content(tmp_path / "one")


@pytest.mark.pipeline
def test_a_small_network_with_all_labels_sees_the_lesions(one_thread):
    pictures, is_referable, patients = labelled(300, side_px=144)
    small = np.stack([cv2.resize(picture, (96, 96), interpolation=cv2.INTER_AREA) for picture in pictures])
    images = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255
    is_test = patients >= 225
    scores = scores_of_a_small_network(images[~is_test], is_referable[~is_test], images[is_test])
    assert auc(is_referable[is_test], scores) > 0.90


def scores_of_a_small_network(images: torch.Tensor, truth: np.ndarray, unseen: torch.Tensor) -> np.ndarray:
    """Four convolutions and a maximum over the picture, 16 passes with random mirroring."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for from_width, to_width, kernel in ((3, 16, 5), (16, 32, 3), (32, 48, 3), (48, 64, 3)):
        layers += [nn.Conv2d(from_width, to_width, kernel, 2, 1, bias=False), nn.BatchNorm2d(to_width), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = len(images) // 32
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=16 * steps)
    target = torch.from_numpy(truth).float()
    for _ in range(16):
        for chosen in torch.randperm(len(images))[: steps * 32].view(steps, 32):
            axes = [axis for axis in (2, 3) if torch.rand(()) < 0.5]
            logits = network((images[chosen].flip(axes) - 0.3) / 0.25)[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, target[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        return network((unseen - 0.3) / 0.25)[:, 0].numpy()


@pytest.fixture
def one_thread():
    """Small work on a busy machine: threads would wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
