"""Anybody's scores and labels: CSV and Parquet say the same, and every odd value is one line with its place."""

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from raydr.data.score_files import read_score_files
from raydr.errors import InputError

SCORES = {"image_id": ["a", "b", "c", "d"], "probability": [0.1, None, 0.7, 1.0], "model": ["x"] * 4}
LABELS = {
    "image_id": ["c", "a", "b", "e"],
    "grade": [2, 0, None, 4],
    "patient_id": ["1", "1", None, "2"],
    "eye": ["OD", "left", None, "r"],
    "gradable": [True, None, False, True],
    "quality": [0.5, 1.25, None, 3.0],
    "split": ["test", "val", None, "train"],
    "nurse": ["n", "n", "n", "n"],
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(ending, scores=SCORES, labels=LABELS):
        for name, columns in (("scores", scores), ("labels", labels)):
            table = pa.table(columns)
            if ending == "csv":
                pyarrow.csv.write_csv(table, f"{name}.csv")
            else:
                lists = pa.array([[0.5]] * table.num_rows, pa.list_(pa.float32()))  # as the logits of `predict`
                pq.write_table(table.append_column("logits", lists), f"{name}.parquet")
        return f"scores.{ending}", f"labels.{ending}"

    return write


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_labels_get_their_scores_and_what_is_on_one_side_only_is_counted(files, ending):
    found = read_score_files(*files(ending))
    assert (found.num_unscored, found.num_unlabelled) == (1, 1)
    rows = found.table.to_pylist()
    assert [(row["image_id"], row["grade"], row["probability"]) for row in rows] == [
        ("c", 2, 0.7),
        ("a", 0, 0.1),
        ("b", None, None),
        ("e", 4, None),
    ]
    assert [row["eye"] for row in rows] == ["right", "left", None, "right"]
    assert [row["patient_id"] for row in rows] == ["1", "1", None, "2"]
    assert [row["gradable"] for row in rows] == [True, None, False, True]
    assert [row["quality"] for row in rows] == [0.5, 1.25, None, 3.0]
    assert [row["split"] for row in rows] == ["test", "val", None, "train"]
    assert {row["dataset"] for row in rows} == {"labels"}
    assert "nurse" not in rows[0]
    assert "grade_0" not in rows[0]


def test_grades_of_the_model_go_with_its_probability(files):
    grades = {f"grade_{grade}": [0.2, None, float(grade == 3), float(grade == 0)] for grade in range(5)}
    found = read_score_files(*files("parquet", scores={**SCORES, **grades})).table.to_pylist()
    assert [row["grade_3"] for row in found] == [1.0, 0.2, None, None]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("scores", {"probability": [0.1, 0.2, 1.5, 0.4]}, "{2}: probability: '1.5' is no probability; allowed: 0 to 1"),
        ("scores", {"probability": ["a", "b", "c", "d"]}, "{0}: probability: 'a' is no probability"),
        ("scores", {"probability": [float("inf")] * 4}, "{0}: probability: 'inf' is no probability"),
        ("scores", {"image_id": ["a", "b", "a", "c"]}, "{2}: image_id: 'a' stands in {0} already"),
        ("scores", {"image_id": ["a", "", "b", "c"]}, "{1}: image_id: is empty"),
        ("scores", {"image_id": list("wxyz")}, "image_id: none is in labels.*; its first is 'w', the first there 'c'"),
        ("scores", {"probability": None}, "probability: the column is missing; the file has image_id, model"),
        ("scores", {"grade_0": [0.0] * 4}, "grade_1: the column is missing; grade_0 to grade_4 come together"),
        ("labels", {"grade": [0, 5, 1, 2]}, "{1}: grade: '5' is no grade; allowed: 0, 1, 2, 3, 4 or empty"),
        ("labels", {"grade": None}, "grade: the column is missing"),
        ("labels", {"image_id": ["a", "b", "b", "c"]}, "{2}: image_id: 'b' stands in {1} already"),
        (
            "labels",
            {"split": ["test", "tset", "val", "val"]},
            "{1}: split: 'tset'; allowed: train, val, test, external",
        ),
        ("labels", {"gradable": ["0", "1", "2", "1"]}, "{2}: gradable: '2' is neither 0 nor 1"),
        ("labels", {"quality": ["1", "good", "2", "1"]}, "{1}: quality: 'good' is no number"),
    ],
)
def test_what_cannot_be_used_is_named_by_file_row_and_column(files, ending, file, changes, message):
    columns = {"scores": dict(SCORES), "labels": dict(LABELS)}
    for name, values in changes.items():
        columns[file].pop(name, None)
        if values is not None:
            columns[file][name] = values
    places = [f"line {row + 2}" if ending == "csv" else f"row {row + 1}" for row in range(4)]
    paths = files(ending, **columns)
    with pytest.raises(InputError) as raised:
        read_score_files(*paths)
    lines = str(raised.value).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{file}.{ending}: ")
    for part in message.format(*places).split(".*"):
        assert part in lines[0]


def test_a_grade_probability_that_is_empty_beside_a_probability_is_refused(files):
    grades = {f"grade_{grade}": [0.2, None, 0.2, None] for grade in range(5)}
    with pytest.raises(InputError, match="'d' has a probability, but one of its grades' is empty"):
        read_score_files(*files("parquet", scores={**SCORES, **grades}))


def test_grade_probabilities_that_do_not_sum_to_1_are_refused(files):
    grades = {f"grade_{grade}": [0.2, None, 0.15, 0.2] for grade in range(5)}
    with pytest.raises(InputError, match=r"'c': grade_0 to grade_4 sum to 0\.75, not to 1"):
        read_score_files(*files("parquet", scores={**SCORES, **grades}))
    grades = {f"grade_{grade}": [0.2, None, 0.202, 0.198] for grade in range(5)}  # rounded
    read_score_files(*files("parquet", scores={**SCORES, **grades}))


def test_missing_and_empty_files_are_told_in_one_line(files, tmp_path):
    scores, labels = files("csv")
    with pytest.raises(InputError, match=r"^none\.csv: no such file"):
        read_score_files("none.csv", labels)
    with pytest.raises(InputError, match=r"^none\.parquet: no such file"):
        read_score_files(scores, "none.parquet")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match=r"^empty\.csv: is empty"):
        read_score_files("empty.csv", labels)
    (tmp_path / "header.csv").write_text("image_id,probability\n")
    with pytest.raises(InputError, match=r"^header\.csv: has a header but no rows"):
        read_score_files("header.csv", labels)
    pq.write_table(pa.table({"image_id": pa.array([], pa.string()), "grade": pa.array([], pa.int8())}), "no.parquet")
    with pytest.raises(InputError, match=r"^no\.parquet: has no rows"):
        read_score_files(scores, "no.parquet")
    (tmp_path / "torn.parquet").write_text("PAR1")
    with pytest.raises(InputError, match=r"^torn\.parquet: cannot be read as Parquet"):
        read_score_files(scores, "torn.parquet")
