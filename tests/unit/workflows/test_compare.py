"""`raydr compare` through the command line: figures as by their definition, a page, one line for each mistake."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raydr import cli
from raydr.workflows.result import StageResult, read_result, write_result

NO_TRACKING = ("--set", "tracking.enabled=false")


def scores(spread, *, seed=0, num_patients=120):
    """Two eyes a patient in two test sets and a validation split; the larger the spread, the worse the model."""
    generator = np.random.default_rng(7)
    patients = np.repeat(np.arange(num_patients), 2)
    grade = generator.integers(0, 5, 2 * num_patients)
    noise = np.random.default_rng(seed).normal(0, spread, 2 * num_patients)
    place = patients % 3
    return pa.table(
        {
            "image_id": [f"{patient}-{eye}" for patient, eye in zip(patients, "lr" * num_patients, strict=True)],
            "probability": 1 / (1 + np.exp(-(grade - 1.6 + noise))),
            "dataset": np.array(["here", "elsewhere", "here"])[place],
            "split": np.array(["test", "external", "val"])[place],
            "patient": [f"p{patient}" for patient in patients],
            "has_patient": [True] * (2 * num_patients),
            "grade": grade,
        }
    )


def finished(folder: Path, table: pa.Table, *, verb="evaluate") -> Path:
    """A folder like that of a finished verb."""
    folder.mkdir()
    pq.write_table(table, folder / "scores.parquet")
    artifacts = {"scores": str(folder / "scores.parquet")} if verb == "evaluate" else {}
    write_result(StageResult(verb, str(folder), "d", "2026", 1.0, "", {}, artifacts, {}))
    return folder


@pytest.fixture
def sharp(tmp_path):
    return finished(tmp_path / "sharp", scores(0.5, seed=1))


@pytest.fixture
def blunt(tmp_path):
    return finished(tmp_path / "blunt", scores(3.0, seed=2))


def raydr(capsys, *arguments):
    status = cli.main([*map(str, arguments), *NO_TRACKING])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def by_definition(table, dataset):
    """Share of pairs of a referable and another image that are ranked right, one by one."""
    rows = [row for row in table.to_pylist() if row["dataset"] == dataset and row["split"] != "val"]
    ill = [row["probability"] for row in rows if row["grade"] >= 2]
    well = [row["probability"] for row in rows if row["grade"] < 2]
    return sum((high > low) + 0.5 * (high == low) for high in ill for low in well) / (len(ill) * len(well))


def test_two_evaluations_are_compared_data_set_by_data_set_without_their_validation_rows(
    capsys, sharp, blunt, tmp_path
):
    status, out, err = raydr(capsys, "compare", sharp, blunt, "--out", tmp_path / "found")
    assert (status, err) == (0, "")
    result = read_result(str(tmp_path / "found"))
    assert result is not None
    assert set(result.metrics["difference"]) == {"here", "elsewhere"}
    for name, found in result.metrics["difference"].items():
        aucs = [by_definition(pq.read_table(folder / "scores.parquet"), name) for folder in (sharp, blunt)]
        assert (found["first"], found["second"]) == pytest.approx(aucs)
        assert found["value"] == pytest.approx(aucs[0] - aucs[1])
        assert 0 < found["low"] < found["value"] < found["high"]
        assert found["p_value"] < 0.01
        assert (found["num_images"], found["num_patients"]) == (80, 40)
        row = next(line for line in out.splitlines() if line.startswith(name))
        assert f"{found['value']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]" in row
        assert row.split()[-2:] == ["80", "40"]
    written = json.loads((tmp_path / "found" / "comparison.json").read_text())
    assert written["difference"]["here"] == result.metrics["difference"]["here"]
    page = (tmp_path / "found" / "report.html").read_text()
    assert f"{result.metrics['difference']['here']['value']:+.3f}" in page


def test_validation_patients_can_be_compared_alone(capsys, sharp, blunt, tmp_path):
    assert raydr(capsys, "compare", sharp, blunt, "--out", tmp_path / "v", "--set", "split=val")[0] == 0
    result = read_result(str(tmp_path / "v"))
    assert result is not None
    assert {name: found["num_patients"] for name, found in result.metrics["difference"].items()} == {"here": 40}


def test_a_model_against_itself_differs_by_nothing(capsys, sharp, tmp_path):
    assert raydr(capsys, "compare", sharp, sharp, "--out", tmp_path / "same")[0] == 0
    result = read_result(str(tmp_path / "same"))
    assert result is not None
    for found in result.metrics["difference"].values():
        assert (found["value"], found["low"], found["high"], found["p_value"]) == (0, 0, 0, 1)


def test_files_of_anybody_do_and_what_is_not_in_both_is_told(capsys, tmp_path):
    (tmp_path / "a.csv").write_text("image_id,probability,grade\n" + "".join(f"{n},0.{n},{n % 5}\n" for n in range(9)))
    (tmp_path / "b.csv").write_text("image_id,probability\n" + "".join(f"{n},0.{9 - n}\n" for n in range(2, 10)))
    status, out, _ = raydr(capsys, "compare", tmp_path / "a.csv", tmp_path / "b.csv", "--out", tmp_path / "found")
    assert status == 0
    assert "left out images: 2 only in A, 1 only in B" in out
    assert "no patients are named" in out
    result = read_result(str(tmp_path / "found"))
    assert result is not None
    (found,) = result.metrics["difference"].values()
    assert found["num_images"] == found["num_patients"] == 7


def test_exams_are_compared_where_images_have_no_grades(capsys, tmp_path):
    files = []
    for name, spread in (("sharp", 0.5), ("blunt", 3.0)):
        table = scores(spread)
        table = table.set_column(table.column_names.index("grade"), "grade", pa.array([-1] * table.num_rows))
        table = table.append_column("exam", pa.array(["only"] * table.num_rows))
        referable = pa.array([row // 2 % 4 == 0 for row in range(table.num_rows)])
        files.append(finished(tmp_path / name, table.append_column("exam_referable", referable)))
    for method in ("delong", "bootstrap"):
        out = tmp_path / method
        status, shown, _ = raydr(capsys, "compare", *files, "--out", out, "--set", f"method={method}")
        assert status == 0
        assert "here (by exam)" in shown
        result = read_result(str(out))
        assert result is not None
        assert result.metrics["left_out"]["num_ungraded"] == 0
        for found in result.metrics["difference"].values():
            assert (found["num_images"], found["num_patients"], found["num_positive"]) == (80, 40, 10)
            assert found["low"] < found["value"] < found["high"]
        assert ("bootstrap" in (out / "report.html").read_text().split("<h2>ROC")[0]) == (method == "bootstrap")


def test_exams_of_anybodys_files_are_compared(capsys, tmp_path):
    rows = "".join(f"{n},0.{n},e{n // 2},{int(n in (4, 5, 8, 9))}\n" for n in range(10))
    (tmp_path / "a.csv").write_text(f"image_id,probability,exam_id,exam_referable\n{rows}")
    (tmp_path / "b.csv").write_text("image_id,probability\n" + "".join(f"{n},0.{9 - n}\n" for n in range(10)))
    status, out, _ = raydr(capsys, "compare", tmp_path / "a.csv", tmp_path / "b.csv", "--out", tmp_path / "found")
    assert status == 0
    assert "no patients are named" not in out
    result = read_result(str(tmp_path / "found"))
    assert result is not None
    (found,) = result.metrics["difference"].values()
    assert (found["first"], found["second"]) == pytest.approx((5 / 6, 1 / 6))
    assert (found["num_images"], found["num_patients"], found["num_positive"]) == (10, 5, 2)


def test_one_class_alone_is_a_clear_outcome(capsys, tmp_path):
    (tmp_path / "a.csv").write_text("image_id,probability,grade\nx,0.1,0\ny,0.2,1\n")
    status, out, _ = raydr(capsys, "compare", tmp_path / "a.csv", tmp_path / "a.csv", "--out", tmp_path / "found")
    assert status == 0
    assert "not defined" in out
    written = json.loads((tmp_path / "found" / "comparison.json").read_text())
    assert written["difference"]["images"]["value"] is None
    assert "of one class" in (tmp_path / "found" / "report.html").read_text()


def test_a_copied_evaluation_is_read_where_it_is(capsys, sharp, blunt, tmp_path):
    shutil.move(sharp, tmp_path / "copied")
    assert raydr(capsys, "compare", tmp_path / "copied", blunt, "--out", tmp_path / "found")[0] == 0


def test_the_same_comparison_is_not_made_twice(capsys, sharp, blunt, tmp_path):
    arguments = ("compare", sharp, blunt, "--out", tmp_path / "found")
    raydr(capsys, *arguments)
    assert "compare: up to date" in raydr(capsys, *arguments)[1]


def test_other_images_other_grades_and_other_folders_are_one_line_and_exit_2(capsys, sharp, tmp_path):
    table = scores(1.0)
    strange = table.set_column(0, "image_id", pa.array([f"q{n}" for n in range(table.num_rows)]))
    graded = table.set_column(table.column_names.index("grade"), "grade", pa.array([1] * table.num_rows))
    cases = {
        "strange": (finished(tmp_path / "strange", strange), "image_id: none is in"),
        "graded": (finished(tmp_path / "graded", graded), "grade: image "),
        "ran": (finished(tmp_path / "ran", table, verb="run"), "second: holds the result of `raydr run`"),
        "none": (tmp_path / "none", "second: does not exist"),
    }
    (tmp_path / "empty").mkdir()
    cases["empty"] = (tmp_path / "empty", "second: holds no result of raydr")
    for name, (other, words) in cases.items():
        status, _, err = raydr(capsys, "compare", sharp, other, "--out", tmp_path / f"found-{name}")
        assert status == 2, name
        assert words in err
        assert len(err.splitlines()) == 1
        assert read_result(str(tmp_path / f"found-{name}")) is None
    assert "ran/evaluate-student" in raydr(capsys, "compare", sharp, tmp_path / "ran", "--out", tmp_path / "o")[2]
