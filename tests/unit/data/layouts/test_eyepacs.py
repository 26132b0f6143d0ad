"""EyePACS: two parts, a solution file with `Usage`, gradability beside the grade."""

from raydr.data.layouts.eyepacs import EyePacs
from raydr.data.layouts.layout import Published

FILES = {
    "train/1_left.jpeg": "",
    "train/1_right.jpeg": "",
    "test/2_left.JPEG": "",
    "test/2_right.jpeg": "",
    "trainLabels.csv": "image,level\n1_left,0\n1_right,2\n",
    "retinopathy_solution.csv": "image,level,Usage\n2_left,4,Private\n2_right,0,Public\n",
    "gradability.csv": "image_name gradability\n1_left 1\n1_right 0\n2_left  1\n9_left 1\n",
}


def whole(root, **changed):
    options = {
        "test_images": f"{root}/test",
        "test_labels": f"{root}/retinopathy_solution.csv",
        "gradability": f"{root}/gradability.csv",
        "allow_partial": True,
    }
    return EyePacs(f"{root}/train", f"{root}/trainLabels.csv", **{**options, **changed})


def test_the_parts_are_the_splits_and_an_ungradable_image_keeps_its_grade(tree, rows_of):
    rows = rows_of(whole(tree(FILES)))
    found = {
        name: (row["patient_id"], row["eye"], row["grade"], row["gradable"], row["split"]) for name, row in rows.items()
    }
    assert found == {
        "data/1_left": ("1", "left", 0, True, "train"),
        "data/1_right": ("1", "right", 2, False, "train"),
        "data/2_left": ("2", "left", 4, True, "test"),
        "data/2_right": ("2", "right", 0, None, "test"),
    }
    assert rows["data/2_left"]["label_source"] == "retinopathy_solution.csv"


def test_only_images_of_the_wanted_usage_keep_their_grade_and_all_stay_in_test(tree, rows_of):
    rows = rows_of(whole(tree(FILES), test_usage="Private"))
    found = {name: (row["grade"], row["split"]) for name, row in rows.items() if row["split"] == "test"}
    assert found == {"data/2_left": (4, "test"), "data/2_right": (None, "test")}


def test_the_train_part_alone_has_no_split(tree, rows_of):
    rows = rows_of(whole(tree(FILES), test_images=None, test_labels=None, gradability=None))
    assert {row["split"] for row in rows.values()} == {None}
    assert len(rows) == 2


def test_both_parts_in_one_folder_are_told_apart_by_their_labels(tree, rows_of):
    root = tree({name.replace("test/", "train/"): content for name, content in FILES.items()})
    rows = rows_of(whole(root, test_images=f"{root}/train"))
    assert {name: row["split"] for name, row in rows.items()} == {
        "data/1_left": "train",
        "data/1_right": "train",
        "data/2_left": "test",
        "data/2_right": "test",
    }


def test_an_image_labelled_in_both_parts_is_an_error(tree, error_of):
    root = tree({**FILES, "retinopathy_solution.csv": "image,level,Usage\n1_left,0,Public\n"})
    message = error_of(whole(root, test_images=f"{root}/train"))
    assert message == f"{root}/retinopathy_solution.csv: '1_left' is labelled in {root}/trainLabels.csv already"


def test_counts_of_each_part_and_of_the_gradability_are_the_published_ones(tree, error_of, monkeypatch):
    root = tree(FILES)
    strict = whole(root, allow_partial=False, gradability=None)
    assert error_of(strict) == (
        f"{root}/trainLabels.csv: level: expected 35126 labels 25810/2443/5292/873/708, found 2 labels 1/0/1/0/0; "
        "complete the download, or set allow_partial = true"
    )
    message = error_of(whole(root, allow_partial=False))
    assert message.startswith(f"{root}/gradability.csv: gradability: expected 71056 gradable images, found 3;")
    monkeypatch.setattr("raydr.data.layouts.eyepacs.TRAIN", Published((1, 0, 1, 0, 0)))
    assert error_of(strict).startswith(f"{root}/retinopathy_solution.csv: level: expected 53576 labels")
    monkeypatch.setattr("raydr.data.layouts.eyepacs.TEST", Published((1, 0, 0, 0, 1)))
    message = f"{root}/retinopathy_solution.csv: Usage: expected 10906 Public images, found 1"
    assert error_of(strict).startswith(message)


def test_an_odd_gradability_is_one_line_that_says_where(tree, error_of):
    root = tree({**FILES, "gradability.csv": "image_name gradability\n1_left good\n"})
    assert error_of(whole(root)) == (
        f"{root}/gradability.csv: line 2: gradability: 'good' is neither 0 nor 1; allowed: 0, 1 or empty"
    )


def test_all_that_is_read_decides_whether_an_index_still_stands(tree):
    root = tree(FILES)
    assert set(whole(root).inputs()) == {"labels", "images", "test_labels", "test_images", "gradability"}
    assert set(whole(root, test_images=None, test_labels=None, gradability=None).inputs()) == {"labels", "images"}
