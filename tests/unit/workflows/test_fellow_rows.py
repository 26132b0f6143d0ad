"""Which eyes go together in pretraining is said before anything is trained, or why none can."""

import numpy as np
import pyarrow as pa
import pytest

from raydr.config.stages import FinetuneStage, PretrainStage
from raydr.data.epochs import EpochClock
from raydr.data.manifest import SCHEMA
from raydr.errors import InputError
from raydr.workflows.images import Rows, Stream
from raydr.workflows.learn import _fellows

ASKED = PretrainStage(fellow_eye_probability=0.3)


@pytest.fixture
def rows() -> Rows:
    eyes = [("p", "left", "train"), ("q", "left", "train"), ("p", "right", "train"), ("r", "left", "val")]
    manifest = pa.Table.from_pylist(
        [
            {"image_id": str(n), "uri": str(n), "dataset": "a", "patient_id": patient, "eye": eye, "split": split}
            for n, (patient, eye, split) in enumerate(eyes)
        ],
        schema=SCHEMA,
    )
    none = np.empty(0, dtype=np.int64)
    return Rows(manifest, np.arange(3), none, none)


def stream(clock: EpochClock | None = None) -> Stream:
    return Stream(None, 3, clock)  # type: ignore[arg-type]  # nothing looks at the images


def test_every_row_is_told_its_fellow(rows):
    assert _fellows(rows, ASKED, stream()) == [2, -1, 0, -1]


def test_nothing_is_told_where_nobody_asks(rows):
    assert _fellows(rows, PretrainStage(), stream(EpochClock("c"))) is None
    assert _fellows(rows, FinetuneStage(), None) is None


def test_images_that_are_streamed_are_refused_by_the_key(rows):
    with pytest.raises(InputError, match=r"^fellow_eye_probability: 3 images do not fit into memory"):
        _fellows(rows, ASKED, stream(EpochClock("c")))


def test_a_manifest_without_pairs_is_refused_by_the_key(rows):
    unknown = rows.manifest.set_column(
        rows.manifest.column_names.index("patient_id"), "patient_id", pa.nulls(4, pa.string())
    )
    with pytest.raises(InputError, match=r"^fellow_eye_probability: the manifest has no patient with a left and a"):
        _fellows(Rows(unknown, rows.train, rows.labelled, rows.validation), ASKED, stream())
