"""The reports of index and prepare from settings and tables: titles, budget, the montage's switch, no password."""

import pyarrow as pa
import pytest

from raydr.config.jobs import IndexSettings, PrepareSettings
from raydr.data.audit import FINDINGS_SCHEMA, LeakAudit
from raydr.data.index import IndexResult
from raydr.data.manifest import SCHEMA
from raydr.data.partition import PatientLeak
from raydr.images.jpeg import encode
from raydr.images.phantom import draw_phantom
from raydr.images.preprocess import Preprocess
from raydr.splits import digest_of
from raydr.tracking.runs import open_tracker
from raydr.workflows.data_reports import index_notes, index_report, prepare_report
from raydr.workflows.job import Stage


@pytest.fixture
def stage(tmp_path):
    tracker = open_tracker(enabled=False, uri=None, experiment="e", default_folder=str(tmp_path))
    return Stage(str(tmp_path), tracker, "run", "9c1f", {"manifest": "ab12"})


def index_settings(out, images="eyes"):
    return IndexSettings(
        job="index", out=out, sources={"eyes": {"layout": "eyepacs", "images": images, "labels": "labels.csv"}}
    )


def manifest_of(num_images):
    rows = [
        {
            "image_id": f"eyes/{number}",
            "uri": f"{number}.jpeg",
            "dataset": "eyes",
            "patient_id": str(number // 2),
            "grade": number % 5,
            "split": "train",
        }
        for number in range(num_images)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def of_index(settings, stage):
    return index_report(
        settings,
        stage,
        manifest=manifest_of(20),
        budget=pa.table({"image_id": ["eyes/4", "eyes/5", "eyes/3"]}),
        findings=pa.table({"finding": pa.array([], pa.string()), "similarity": pa.array([], pa.float32())}),
        checks=["shared_patients"],
        notes=[],
    )


def test_the_budget_is_counted_as_the_manifest_has_it(stage):
    (row,) = of_index(index_settings("runs/a"), stage).budget
    assert (row["images"], row["patients"]) == (3, 2)
    assert [row[f"grade_{grade}"] for grade in range(5)] == [1, 0, 0, 1, 1]


@pytest.mark.parametrize(("out", "title"), [("runs/a", "raydr index: a"), ("runs/b/index", "raydr index: b")])
def test_the_title_names_the_folder_or_the_run_that_the_stage_is_of(stage, out, title):
    assert of_index(index_settings(out), stage).title == title


def test_digests_of_what_was_read_and_drawn_are_in_the_report(stage):
    digests = of_index(index_settings("runs/a"), stage).digests
    assert digests == {
        "label budget": digest_of(["eyes/3", "eyes/4", "eyes/5"]),
        "settings": "9c1f",
        "manifest": "ab12",
    }


def test_no_password_of_a_source_is_in_the_report(stage):
    found = of_index(index_settings("runs/a", images="s3://key:secret@bucket/eyes"), stage)
    assert "secret" not in found.settings
    assert "secret" not in "".join(found.sources.values())


@pytest.mark.parametrize("montage", [True, False])
def test_photographs_are_read_for_the_report_only_where_it_may_hold_them(stage, tmp_path, montage):
    uri = str(tmp_path / "eye.jpeg")
    (tmp_path / "eye.jpeg").write_bytes(encode(draw_phantom(patient_seed=0, eye="left", grade=2, side_px=128)))
    quality = pa.Table.from_pylist(
        [
            {"image_id": "eye", "uri": uri, "width_px": 128, "height_px": 128, "gradable": True}
            | {"disc_x_px": 64.0, "disc_y_px": 64.0, "disc_radius_px": 60.0, "disc_fraction": 0.7}
            | {"focus": 1.0, "blur": 0.3, "brightness": 0.4, "overexposed": 0.0, "underexposed": 0.0}
        ]
    )
    found = prepare_report(
        PrepareSettings(job="prepare", out="runs/a", manifest="m.parquet", montage=montage),
        stage,
        preprocess=Preprocess(side_px=64, enhance="clahe"),
        quality=quality,
        quarantine=pa.table({"reason": ["empty"]}),
        num_shards=1,
        num_bytes=5,
    )
    assert (found.num_images, found.num_written, found.side_px, found.enhance) == (2, 1, 64, "clahe")
    assert [bool(tile.photo) for tile in found.tiles or ()] == [True] * montage


NO_LEAK = PatientLeak(0, 10, 0, 5, 0)


def indexed(rows, *, budget=(), leak=NO_LEAK, num_dropped=0, num_unlisted=0):
    """An index of images given as (split, grade)."""
    columns = [
        {"image_id": f"IDRiD/{n}", "uri": "u", "dataset": "IDRiD", "patient_id": str(n), "grade": grade, "split": split}
        for n, (split, grade) in enumerate(rows)
    ]
    return IndexResult(
        manifest=pa.Table.from_pylist(columns, schema=SCHEMA),
        budget=pa.table({"image_id": pa.array([f"IDRiD/{n}" for n in budget], pa.string())}),
        exams=pa.table({}),
        leak=leak,
        num_dropped=num_dropped,
        num_unlisted=num_unlisted,
        budget_digest="d",
    )


def audited(*, num_unreadable=0, num_without_picture=0):
    return LeakAudit(FINDINGS_SCHEMA.empty_table(), num_unreadable, num_without_picture)


BOTH_KINDS = [("train", 0), ("train", 4), ("val", 1), ("val", 2), ("test", 0), ("test", None), ("test", 3)]


def test_patients_in_train_and_test_are_said():
    leak = PatientLeak(2, 10, 3, 5, 1)
    (note,) = index_notes(indexed(BOTH_KINDS, budget=[0, 1], leak=leak), audited())
    assert "2 patients are in train and in test: 3 of 10 test images, 1 of 5 referable ones" in note


def test_what_an_index_left_out_is_said_and_nothing_else():
    found = indexed(BOTH_KINDS, budget=[0, 1])
    assert index_notes(found, audited()) == []
    (note,) = index_notes(found, audited(num_unreadable=3))
    assert note.startswith("3 files that cannot be read")
    (note,) = index_notes(indexed(BOTH_KINDS, budget=[0, 1], num_dropped=1), audited())
    assert note == "1 label without an image: left out."
    (note,) = index_notes(found, audited(num_without_picture=None))
    assert note == "Near-identical images were not looked for (near_identical = false)."


def test_a_part_whose_grades_are_all_of_one_kind_is_named_with_what_cannot_be_done():
    rows = [("train", 0), ("train", 1), ("val", 2), ("val", None), ("external", 0), ("test", 0), ("test", 2)]
    assert index_notes(indexed(rows, budget=[0, 1]), audited()) == [
        "The label budget: none of 2 graded images is referable, so a teacher cannot learn the difference.",
        "IDRiD val: none of 1 graded image is other than referable, so there is no AUC to compute.",
        "IDRiD external: none of 1 graded image is referable, so there is no AUC to compute.",
    ]
