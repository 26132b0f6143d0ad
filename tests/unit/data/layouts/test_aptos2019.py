"""APTOS 2019: one label file, no patients."""

from raydr.data.layouts.aptos2019 import Aptos2019

FILES = {
    "train_images/000c1434d8d7.png": "",
    "train_images/001639a390f0.png": "",
    "train.csv": "id_code,diagnosis\n000c1434d8d7,2\n001639a390f0,4\n",
}


def layout(root, *, allow_partial=True):
    return Aptos2019(f"{root}/train_images", f"{root}/train.csv", allow_partial=allow_partial)


def test_every_labelled_image_is_a_row_of_an_unknown_patient(tree, rows_of):
    rows = rows_of(layout(tree(FILES)))
    assert {name: (row["grade"], row["patient_id"], row["split"]) for name, row in rows.items()} == {
        "data/000c1434d8d7": (2, None, None),
        "data/001639a390f0": (4, None, None),
    }


def test_an_image_of_no_label_is_none_of_the_dataset(tree, rows_of):
    assert "data/other" not in rows_of(layout(tree({**FILES, "train_images/other.png": ""})))


def test_counts_are_the_published_ones(tree, error_of):
    root = tree(FILES)
    assert error_of(layout(root, allow_partial=False)).startswith(
        f"{root}/train.csv: diagnosis: expected 3662 labels 1805/370/999/193/295, found 2 labels 0/0/1/0/1;"
    )


def test_a_missing_image_stops_unless_it_may_be_dropped(tree, rows_of, error_of):
    root = tree({**FILES, "train.csv": FILES["train.csv"] + "ffff,0\n"})
    assert f"{root}/train.csv: line 4: id_code: no image 'ffff' below" in error_of(layout(root))
    assert len(rows_of(layout(root), drop_missing=True)) == 2
