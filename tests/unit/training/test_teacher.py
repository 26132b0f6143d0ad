"""The teacher's outputs on disk: kept by image, so that they stay right when the manifest is made anew."""

import numpy as np
import pyarrow as pa
import pytest

from raydr import storage
from raydr.training.teacher import Teacher, read_teacher_logits, write_teacher_logits

LOGITS = np.array([[1.0, -1.0], [np.nan, np.nan], [3.0, -3.0]], np.float32)


@pytest.fixture
def outputs(tmp_path):
    uri = str(tmp_path / "outputs.parquet")
    write_teacher_logits(uri, pa.chunked_array([["a", "b", "c"]]), LOGITS)
    return uri


def test_outputs_are_found_by_image_whatever_the_order_and_what_else_there_is(outputs):
    found = read_teacher_logits(outputs, pa.chunked_array([["c", "new"], ["b", "a"]]))
    nothing = [np.nan, np.nan]
    np.testing.assert_array_equal(found, np.array([[3, -3], nothing, nothing, [1, -1]], np.float32))
    assert found.dtype == np.float32


def test_a_teacher_reads_its_outputs_by_the_rows_of_its_manifest(outputs, tmp_path):
    manifest = str(tmp_path / "manifest.parquet")
    eyes = {"dataset": ["d"] * 3, "patient_id": ["p", "p", "q"], "exam_id": [None] * 3, "split": ["train"] * 3}
    table = pa.table({"image_id": ["x", "a", "c"], "uri": ["1", "2", "3"], "eye": ["left", "right", "left"], **eyes})
    storage.write_table(manifest, table)
    teaching = Teacher("grades", ("m",), manifest, outputs).teaching(with_fellows=True)
    np.testing.assert_array_equal(teaching.logits, np.array([[np.nan, np.nan], [1, -1], [3, -3]], np.float32))
    assert teaching.fellow.tolist() == [1, 0, -1]
    assert (teaching.head, teaching.folders) == ("grades", ("m",))


def test_a_teacher_that_is_asked_itself_reads_nothing():
    assert Teacher("binary", ("m",), "nowhere.parquet", None).teaching(with_fellows=True).logits is None
