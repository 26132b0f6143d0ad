"""What the audit finds stops `index`, can be looked at all the same, and passes where it is waived."""

import shutil
from pathlib import Path

import pytest

from raydr import storage
from raydr.config.jobs import IndexSettings
from raydr.data.audit import FINDINGS_SCHEMA
from raydr.errors import InputError
from raydr.images.jpeg import decode, encode
from raydr.images.phantom import write_phantoms
from raydr.workflows.index import index


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    """Twelve patients, and a clinic whose first photograph is one of theirs, in another size."""
    root = tmp_path_factory.mktemp("phantoms")
    write_phantoms(root / "a", num_patients=12, seed=1, side_px=128)
    write_phantoms(root / "b", num_patients=2, seed=2, side_px=128, camera="b", prefix="b")
    copy = decode((root / "a" / "images" / "00003_left.jpeg").read_bytes(), min_side_px=64)
    (root / "b" / "images" / "b00000_left.jpeg").write_bytes(encode(copy, quality=70))
    return root


def settings(phantoms: Path, out: Path, **changed: object) -> IndexSettings:
    sources = {
        name: {
            "layout": "eyepacs",
            "allow_partial": True,
            "role": role,
            "images": str(phantoms / name / "images"),
            "labels": str(phantoms / name / "trainLabels.csv"),
        }
        for name, role in (("a", "internal"), ("b", "external"))
    }
    given: dict[str, object] = {
        "job": "index",
        "out": str(out),
        "sources": sources,
        "splits": {"val_fraction": 0.2, "test_fraction": 0.2},
        "budget": {"count": 4},
        "tracking": {"enabled": False},
    }
    return IndexSettings.model_validate(given | changed)


def test_a_copy_in_another_dataset_stops_the_job_and_its_table_is_left(phantoms, tmp_path):
    with pytest.raises(InputError, match=r"1 pairs of images .* are near-identical: a/00003_left ~ b/b00000_left"):
        index(settings(phantoms, tmp_path / "out"))
    table = storage.read_table(str(tmp_path / "out" / "audit.parquet"))
    assert table.schema.equals(FINDINGS_SCHEMA)
    assert table["image_id_b"].to_pylist() == ["b/b00000_left"]
    assert not (tmp_path / "out" / "manifest.parquet").exists()
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_waived_finding_passes_and_is_shown_and_counted(phantoms, tmp_path, capsys):
    result = index(settings(phantoms, tmp_path / "out", waive=["near_identical_images"]))
    assert result.metrics["num_near_identical_images"] == 1
    assert storage.read_table(result.artifacts["audit"]).num_rows == 1
    assert "near identical images" in capsys.readouterr().out


def test_a_search_that_is_left_out_is_said_to_be(phantoms, tmp_path, capsys):
    result = index(settings(phantoms, tmp_path / "out", near_identical=False))
    assert result.metrics["num_near_identical_images"] is None
    assert "Near-identical images were not looked for" in capsys.readouterr().out


def test_clean_data_sets_pass_and_files_without_a_picture_are_counted(phantoms, tmp_path, capsys):
    shutil.copytree(phantoms, tmp_path / "data")
    (tmp_path / "data" / "b" / "images" / "b00000_left.jpeg").write_bytes(b"no picture")
    result = index(settings(tmp_path / "data", tmp_path / "out"))
    assert result.metrics["num_near_identical_images"] == 0
    assert storage.read_table(result.artifacts["audit"]).num_rows == 0
    assert "1 file without a picture to compare" in capsys.readouterr().out
