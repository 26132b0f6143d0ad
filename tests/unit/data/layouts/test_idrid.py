"""IDRiD: names restart in the test part, label files have blanks and empty columns at their end."""

from raydr.data.layouts.idrid import PUBLISHED, Idrid

IMAGES, LABELS = "B. Disease Grading/1. Original Images", "B. Disease Grading/2. Groundtruths"
TRAIN, TEST = (
    f"{LABELS}/{name} Labels.csv" for name in ("a. IDRiD_Disease Grading_Training", "b. IDRiD_Disease Grading_Testing")
)
HEADER = "Image name,Retinopathy grade,Risk of macular edema ,,,,,,,,,\n"
FILES = {
    f"{IMAGES}/a. Training Set/IDRiD_001.jpg": "",
    f"{IMAGES}/a. Training Set/IDRiD_002.jpg": "",
    f"{IMAGES}/b. Testing Set/IDRiD_001.jpg": "",
    TRAIN: f"{HEADER}IDRiD_001,3,2,,,,,,,,,\nIDRiD_002 ,0, 1,,,,,,,,,\n",
    TEST: "Image name,Retinopathy grade,Risk of macular edema \nIDRiD_001,4,0\n",
}


def test_names_that_restart_are_two_images_by_their_part(tree, rows_of):
    rows = rows_of(Idrid(str(tree(FILES)), allow_partial=True))
    assert {name: (row["grade"], row["dme"], row["split"], row["patient_id"]) for name, row in rows.items()} == {
        "data/train/IDRiD_001": (3, 1, "train", None),
        "data/train/IDRiD_002": (0, 0, "train", None),
        "data/test/IDRiD_001": (4, 0, "test", None),
    }


def test_the_root_may_be_the_folder_itself_or_the_one_around_it(tree, rows_of):
    root = tree(FILES)
    around = rows_of(Idrid(str(root), allow_partial=True))
    assert rows_of(Idrid(f"{root}/B. Disease Grading", allow_partial=True)) == around


def test_a_whole_dataset_passes_and_one_image_less_does_not(tree, rows_of, error_of):
    files = {}
    for name, folder, labels in (("train", "a. Training Set", TRAIN), ("test", "b. Testing Set", TEST)):
        lines = [HEADER]
        for grade, count in enumerate(PUBLISHED[name].grades):
            for _ in range(count):
                files[f"{IMAGES}/{folder}/IDRiD_{len(lines):03d}.jpg"] = ""
                lines.append(f"IDRiD_{len(lines):03d},{grade},0,,,,,,,,,\n")
        files[labels] = "".join(lines)
    root = tree(files)
    rows = rows_of(Idrid(str(root)))
    assert len(rows) == 516
    (root / TEST).write_text("".join(lines[:-1]))
    assert error_of(Idrid(str(root))) == (
        f"{root}/{TEST}: Retinopathy grade: expected 103 labels 34/5/32/19/13, found 102 labels 34/5/32/19/12; "
        "complete the download, or set allow_partial = true"
    )


def test_a_part_that_is_not_there_is_left_out_only_where_that_is_allowed(tree, rows_of, error_of):
    root = tree({name: content for name, content in FILES.items() if "b." not in name})
    assert {row["split"] for row in rows_of(Idrid(str(root), allow_partial=True)).values()} == {"train"}
    assert "train_labels" in Idrid(str(root), allow_partial=True).inputs()
    (root / TRAIN).unlink()
    assert "no such file, nor any other part's" in error_of(Idrid(str(root), allow_partial=True))
    assert "no such file" in error_of(Idrid(str(root)))


def test_a_risk_that_is_none_is_one_line_that_says_where(tree, error_of):
    root = tree({**FILES, TEST: "Image name,Retinopathy grade,Risk of macular edema\nIDRiD_001,4,3\n"})
    assert "line 2: Risk of macular edema: '3' is no risk" in error_of(Idrid(str(root), allow_partial=True))
