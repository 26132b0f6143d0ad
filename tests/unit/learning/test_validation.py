"""The validation patients' figures of an epoch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from raydr.engine.batch import Pool
from raydr.engine.context import LocalContext
from raydr.grades import REFERABLE_GRADE
from raydr.learning.validation import validation_auc
from raydr.metrics.standard_error import auc_standard_error


def test_the_standard_error_takes_the_patients_it_is_told_of_as_its_unit():
    draw = np.random.default_rng(0)
    rows = draw.permutation(200)[:80].astype(np.int64)
    grades = draw.integers(0, 5, 80)
    images = draw.integers(0, 256, (80, 3, 4, 4), dtype=np.uint8)
    images = (images // (1 + draw.random((80, 1, 1, 1)) * (grades >= REFERABLE_GRADE)[:, None, None, None])).astype(
        np.uint8
    )
    patients = {int(row): int(row) // 8 for row in rows}

    def network(image):
        return -image.mean(dim=(1, 2, 3))[:, None]

    context = LocalContext(Path("unused"))
    pool = Pool(images, rows, grades)
    found = validation_auc(network, pool, context, patients)(0)
    scores = torch.sigmoid(network(torch.from_numpy(images).float() / 255))[:, 0].numpy()
    truth = grades >= REFERABLE_GRADE
    assert found["val_auc_se"] == pytest.approx(auc_standard_error(truth, scores, rows // 8))
    alone = validation_auc(network, pool, context)(0)
    assert alone["val_auc"] == found["val_auc"]
    assert alone["val_auc_se"] == pytest.approx(auc_standard_error(truth, scores, np.arange(80)))
    assert alone["val_auc_se"] != pytest.approx(found["val_auc_se"], rel=0.02)
