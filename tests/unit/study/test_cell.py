"""A cell's parts: its labelled images, its teachers' outputs, the record that vouches for it."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from raydr.engine.batch import Pool
from raydr.engine.package import DESCRIPTION, ModelDescription, save_model
from raydr.engine.score import score_share
from raydr.images.dihedral import dihedral_views
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier
from raydr.study.cell import Teachers, _outputs, labelled_pool, model_names
from raydr.study.records import CellRecord, auc_figures, read_record, write_record

CPU = torch.device("cpu")


def pool(rows):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (len(rows), 3, 32, 32), dtype=np.uint8)
    return Pool(images, np.array(rows), np.full(len(rows), -1))


def test_labelled_images_are_those_rows_with_their_grades_without_what_cannot_be_read():
    images = pool([2, 3, 5, 9])
    found = labelled_pool(images, np.array([3, 4, 9]), np.array([1, 2, 3]))
    assert found.row.tolist() == [3, 9]
    assert found.grade.tolist() == [1, 3]
    np.testing.assert_array_equal(found.image, images.image[[1, 3]])
    assert images.grade.tolist() == [-1] * 4, "the pool of all cells has no grade"


def test_all_labels_are_the_pool_itself_not_a_copy():
    images = pool([2, 3])
    assert labelled_pool(images, np.array([2, 3]), np.array([1, 2])).image is images.image


def test_teachers_are_asked_once_for_the_mean_of_their_logits_over_views(tmp_path):
    networks = []
    for number in range(2):
        torch.manual_seed(number)
        networks.append(Classifier(create_backbone("test_resnet"), 1).eval())
        description = ModelDescription("test_resnet", "binary", Preprocess(side_px=32))
        save_model(str(tmp_path / model_names(2)[number]), networks[-1], description)
    teachers = Teachers(tuple(str(tmp_path / name) for name in model_names(2)), str(tmp_path / "outputs"))
    images = pool([4, 7, 8])
    found = _outputs(teachers, images, 2, CPU)
    wanted = np.mean(
        [
            score_share(lambda x, n=n, v=v: n(dihedral_views(x, 2)[v]), images, device=CPU)
            for n in networks
            for v in (0, 1)
        ],
        axis=0,
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    for name in model_names(2):
        (tmp_path / name / DESCRIPTION).unlink()
    np.testing.assert_allclose(_outputs(teachers, images, 2, CPU), found, rtol=1e-6)
    other = Pool(images.image[[2, 0]], images.row[[2, 0]], images.grade[[2, 0]])
    np.testing.assert_allclose(_outputs(teachers, other, 2, CPU), found[[2, 0]], rtol=1e-6)


@pytest.fixture
def record(tmp_path):
    """A record on the disk, with its model."""
    figures = auc_figures(np.array([False, True, True, False]), np.array([0.1, 0.8, 0.3, 0.4]), np.arange(4) // 2)
    found = CellRecord("a/12/draw-0/seed-0", "one", ("model",), 12, 3.5, figures, 2, {}, [{"epoch": 0.0}])
    save_model(
        str(tmp_path / "model"),
        Classifier(create_backbone("test_resnet"), 1),
        ModelDescription("test_resnet", "binary", Preprocess(side_px=32)),
    )
    write_record(str(tmp_path), found)
    return found


def test_a_record_is_read_as_it_was_written_and_of_the_same_settings_only(record, tmp_path):
    assert read_record(str(tmp_path), "one") == record
    assert read_record(str(tmp_path), "two") is None
    assert read_record(str(tmp_path / "none"), "one") is None


def test_a_record_whose_model_is_gone_or_that_is_torn_vouches_for_nothing(record, tmp_path):
    whole = (tmp_path / "result.json").read_bytes()
    (tmp_path / "result.json").write_bytes(whole[:40])
    assert read_record(str(tmp_path), "one") is None
    (tmp_path / "result.json").write_bytes(whole)
    (tmp_path / "model" / DESCRIPTION).unlink()
    assert read_record(str(tmp_path), "one") is None


def test_figures_take_patients_as_their_unit_and_one_class_has_no_auc():
    truth, scores = np.arange(40) % 4 == 0, np.random.default_rng(0).random(40)
    alone, twins = (auc_figures(truth, scores, np.arange(40) // size) for size in (1, 4))
    assert alone.auc == twins.auc
    assert (alone.num_patients, twins.num_patients, twins.num_positive, twins.num_images) == (40, 10, 10, 40)
    assert alone.standard_error != twins.standard_error
    assert alone.low < alone.auc < alone.high
    one = auc_figures(np.zeros(4, dtype=bool), scores[:4], np.arange(4))
    assert all(math.isnan(value) for value in dataclasses.astuple(one)[:4])
