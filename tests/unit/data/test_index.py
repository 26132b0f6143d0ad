"""The manifest has every image once, no patient in two splits, and budgets that nest."""

import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from raydr.data.audit import audit_leaks
from raydr.data.index import IndexResult, build_index
from raydr.data.manifest import SCHEMA, grades_of, patients_of, summary
from raydr.data.sources import Columns, Source
from raydr.errors import InputError
from raydr.splits import digest_of

NUM_PATIENTS = 100


def write_images(root: Path, names: list[str]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / f"{name}.jpeg").write_bytes(f"{root.name}/{name}".encode())


@pytest.fixture
def kaggle(tmp_path) -> Source:
    """100 patients, both eyes, every fifth referable."""
    names = [f"{patient}_{eye}" for patient in range(NUM_PATIENTS) for eye in ("left", "right")]
    write_images(tmp_path / "kaggle", names)
    rows = [f"{name},{(0, 1, 0, 0, 3)[int(name.split('_')[0]) % 5]}" for name in names]
    (tmp_path / "labels.csv").write_text("image,level\n" + "\n".join(rows) + "\n")
    return Source("kaggle", "eyepacs", str(tmp_path / "kaggle"), str(tmp_path / "labels.csv"))


@pytest.fixture
def clinic(tmp_path) -> Source:
    write_images(tmp_path / "clinic", [f"x{i}" for i in range(6)])
    (tmp_path / "clinic.csv").write_text("id,dr,who\n" + "".join(f"x{i},{i % 3},p{i // 2}\n" for i in range(6)))
    columns = Columns(image="id", grade="dr", patient="who")
    return Source(
        "clinic", "csv", str(tmp_path / "clinic"), str(tmp_path / "clinic.csv"), columns=columns, external=True
    )


def with_splits(source: Source, tmp_path: Path, split_of_patient: dict[int, str]) -> Source:
    rows = [f"{patient}_{eye},{split}" for patient, split in split_of_patient.items() for eye in ("left", "right")]
    (tmp_path / "split.csv").write_text("image,split\n" + "\n".join(rows) + "\n")
    return Source(source.name, source.layout, source.images, source.labels, splits=str(tmp_path / "split.csv"))


def built(*sources: Source, **changed: object) -> IndexResult:
    options: dict[str, object] = {
        "val_fraction": 0.15,
        "test_fraction": 0.2,
        "split_seed": 0,
        "budget_fraction": 0.1,
        "budget_count": None,
        "budget_seed": 0,
    }
    return build_index(list(sources), **{**options, **changed})


def images_of(found: IndexResult, split: str) -> set[str]:
    rows = found.manifest.to_pylist()
    return {row["image_id"] for row in rows if row["split"] == split}


def check_no_patient_is_shared(found: IndexResult) -> None:
    splits = defaultdict(set)
    for patient, split in zip(patients_of(found.manifest), found.manifest["split"].to_pylist(), strict=True):
        splits[patient].add(split)
    assert {len(found) for found in splits.values()} == {1}


def test_patients_are_dealt_to_exact_counts_and_external_ones_are_not(kaggle, clinic):
    found = built(kaggle, clinic)
    counts = {(row["dataset"], row["split"]): (row["images"], row["patients"]) for row in summary(found.manifest)}
    assert counts == {
        ("kaggle", "train"): (130, 65),
        ("kaggle", "val"): (30, 15),
        ("kaggle", "test"): (40, 20),
        ("clinic", "external"): (6, 3),
    }
    assert found.manifest.schema.equals(SCHEMA)
    assert len(set(found.manifest["image_id"].to_pylist())) == 206
    check_no_patient_is_shared(found)
    assert found.num_dropped == 0


def test_every_split_has_the_share_of_referable_patients(kaggle):
    found = built(kaggle)
    for split, referable in (("train", 26), ("val", 6), ("test", 8)):
        is_split = np.array(found.manifest["split"].to_pylist()) == split
        assert abs((grades_of(found.manifest)[is_split] >= 2).sum() - referable) <= 2


def test_the_same_seed_deals_the_same_and_another_deals_otherwise(kaggle):
    first = built(kaggle)
    assert built(kaggle).manifest.equals(first.manifest)
    assert built(kaggle).budget_digest == first.budget_digest
    assert images_of(built(kaggle, split_seed=1), "test") != images_of(first, "test")
    other = built(kaggle, budget_seed=1)
    assert other.manifest.equals(first.manifest)
    assert other.budget_digest != first.budget_digest


@pytest.mark.parametrize(("budget_fraction", "expected"), [(0.1, 13), (0.2, 26), (0.5, 65), (1.0, 130)])
def test_a_budget_is_a_share_of_the_graded_train_images_by_whole_patients(kaggle, clinic, budget_fraction, expected):
    found = built(kaggle, clinic, budget_fraction=budget_fraction)
    chosen = set(found.budget["image_id"].to_pylist())
    assert abs(len(chosen) - expected) <= 1
    assert chosen <= images_of(found, "train")
    patients = patients_of(found.manifest)
    is_chosen = np.isin(found.manifest["image_id"].to_pylist(), list(chosen))
    assert not set(patients[is_chosen]) & set(patients[~is_chosen])
    assert found.budget_digest == digest_of(sorted(chosen))


@pytest.mark.parametrize("seed", range(3))
def test_budgets_of_one_seed_are_nested(kaggle, seed):
    budgets = [
        set(built(kaggle, budget_fraction=fraction, budget_seed=seed).budget["image_id"].to_pylist())
        for fraction in (0.01, 0.1, 0.2, 0.6, 1.0)
    ]
    assert all(smaller <= larger for smaller, larger in itertools.pairwise(budgets))
    assert all(smaller < larger for smaller, larger in itertools.pairwise(budgets[1:]))


def test_a_budget_can_be_a_count(kaggle):
    assert built(kaggle, budget_fraction=None, budget_count=20).budget.num_rows == 20
    with pytest.raises(InputError, match="count: 131 is more than the 130 train images with a grade"):
        built(kaggle, budget_fraction=None, budget_count=131)


def test_a_split_file_without_val_has_it_dealt_from_its_train_patients(kaggle, tmp_path):
    given = {patient: "test" if patient < 20 else "train" for patient in range(NUM_PATIENTS)}
    found = built(with_splits(kaggle, tmp_path, given))
    names = {f"kaggle/{patient}_{eye}" for patient in range(20) for eye in ("left", "right")}
    assert images_of(found, "test") == names
    assert len(images_of(found, "val")) == 2 * 12  # 15 % of 80 train patients
    assert len(images_of(found, "train")) == 2 * 68
    check_no_patient_is_shared(found)


def test_a_split_file_with_val_is_kept_as_it_is(kaggle, tmp_path):
    given = {patient: ("train", "train", "val", "test")[patient % 4] for patient in range(NUM_PATIENTS)}
    found = built(with_splits(kaggle, tmp_path, given))
    for row in found.manifest.to_pylist():
        assert row["split"] == given[int(row["patient_id"])]


def test_unlabelled_images_go_where_their_patient_is_else_to_train(kaggle, tmp_path):
    labels = (tmp_path / "labels.csv").read_text().splitlines()
    kept = [
        line for line in labels if not line.startswith(tuple(f"{patient}_right" for patient in range(NUM_PATIENTS)))
    ]
    (tmp_path / "labels.csv").write_text("\n".join(kept))
    write_images(tmp_path / "kaggle", ["500_left", "500_right", "noname"])
    found = built(kaggle)
    assert found.manifest.num_rows == 203
    check_no_patient_is_shared(found)
    split_of = {row["image_id"]: row["split"] for row in found.manifest.to_pylist()}
    for patient in range(NUM_PATIENTS):
        assert split_of[f"kaggle/{patient}_right"] == split_of[f"kaggle/{patient}_left"]
    assert {split_of[f"kaggle/{name}"] for name in ("500_left", "500_right", "noname")} == {"train"}
    graded = grades_of(found.manifest) >= 0
    assert graded.sum() == NUM_PATIENTS
    assert set(found.budget["image_id"].to_pylist()) <= set(np.array(found.manifest["image_id"].to_pylist())[graded])
    assert len(images_of(found, "test")) == 40


def test_an_unlabelled_image_of_a_csv_source_goes_to_train_only_where_patients_are_not_named(clinic, kaggle, tmp_path):
    """Where they are, it may be a test patient's other eye."""
    write_images(tmp_path / "clinic", ["new"])
    for patient, is_there in ((None, True), ("who", False)):
        columns = Columns(image="id", grade="dr", patient=patient)
        internal = Source(clinic.name, "csv", clinic.images, clinic.labels, columns=columns)
        found = built(kaggle, internal, val_fraction=0.34, test_fraction=0.34)
        assert ("clinic/new" in images_of(found, "train")) == is_there
        assert ("clinic/new" in found.manifest["image_id"].to_pylist()) == is_there


def test_the_audit_sees_the_splits_of_every_source(kaggle, clinic, tmp_path):
    source = with_splits(kaggle, tmp_path, dict.fromkeys(range(NUM_PATIENTS), "train"))
    rows = (tmp_path / "split.csv").read_text()
    for patient in range(5):
        rows = rows.replace(f"\n{patient}_left,train", f"\n{patient}_left,test")
    (tmp_path / "split.csv").write_text(rows)
    (tmp_path / "clinic" / "x1.jpeg").write_bytes((tmp_path / "kaggle" / "30_left.jpeg").read_bytes())
    audit = audit_leaks(built(source, clinic).manifest)
    assert audit.named("shared_patients") == tuple(f"kaggle/{patient}" for patient in range(5))
    assert audit.named("identical_files") == ("kaggle/30_left = clinic/x1",)
    assert audit.num_without_picture == 206


def test_dropped_labels_of_all_sources_are_counted(kaggle, tmp_path):
    with (tmp_path / "labels.csv").open("a") as file:
        file.write("900_left,0\n901_left,1\n")
    source = Source(kaggle.name, "eyepacs", kaggle.images, kaggle.labels, drop_missing=True)
    assert built(source).num_dropped == 2


def test_too_few_patients_for_a_split_are_an_error_that_says_so(tmp_path):
    write_images(tmp_path / "few", ["1_left", "2_left"])
    (tmp_path / "few.csv").write_text("image,level\n1_left,0\n2_left,2\n")
    source = Source("few", "eyepacs", str(tmp_path / "few"), str(tmp_path / "few.csv"))
    with pytest.raises(InputError, match=r"few.csv: 2 patients with a grade are too few for val_fraction = 0.15"):
        built(source)
    assert images_of(built(source, val_fraction=0.0, test_fraction=0.0), "train") == {"few/1_left", "few/2_left"}


def test_sources_need_distinct_names_without_a_slash_and_a_train_label(kaggle, clinic):
    with pytest.raises(InputError, match="'kaggle' names two datasets"):
        built(kaggle, kaggle)
    with pytest.raises(InputError, match="slash"):
        built(Source("a/b", "eyepacs", kaggle.images, kaggle.labels))
    with pytest.raises(InputError, match="no train image has a grade"):
        built(clinic)
    with pytest.raises(InputError, match="is empty"):
        built()
