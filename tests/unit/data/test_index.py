"""The manifest has every image once, no patient in two splits, and budgets that nest."""

import itertools
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raydr import storage
from raydr.data.audit import audit_leaks, check_audit
from raydr.data.budget import BudgetRule
from raydr.data.index import IndexResult, build_index
from raydr.data.layouts.csv_file import Columns, CsvFile
from raydr.data.layouts.eyepacs import EyePacs
from raydr.data.layouts.messidor2 import Messidor2
from raydr.data.manifest import SCHEMA, grades_of, patients_of, read_manifest, summary
from raydr.data.partition import SplitRule, patient_leak, splits_of
from raydr.data.sources import Source, read_source
from raydr.errors import InputError
from raydr.splits import VoetsCounts, digest_of, voets_split

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
    return Source("kaggle", EyePacs(str(tmp_path / "kaggle"), str(tmp_path / "labels.csv"), allow_partial=True))


@pytest.fixture
def clinic(tmp_path) -> Source:
    write_images(tmp_path / "clinic", [f"x{i}" for i in range(6)])
    (tmp_path / "clinic.csv").write_text("id,dr,who\n" + "".join(f"x{i},{i % 3},p{i // 2}\n" for i in range(6)))
    columns = Columns(image="id", grade="dr", patient="who")
    layout = CsvFile(str(tmp_path / "clinic"), str(tmp_path / "clinic.csv"), columns=columns)
    return Source("clinic", layout, external=True)


def with_splits(source: Source, tmp_path: Path, split_of_patient: dict[int, str]) -> Source:
    rows = [f"{patient}_{eye},{split}" for patient, split in split_of_patient.items() for eye in ("left", "right")]
    (tmp_path / "split.csv").write_text("image,split\n" + "\n".join(rows) + "\n")
    return replace(source, layout=replace(source.layout, splits=str(tmp_path / "split.csv")))


def built(*sources: Source, **changed: object) -> IndexResult:
    """The index by default rules, `split_` and `budget_` options changed."""
    rules: dict[str, dict[str, object]] = {"split": {}, "budget": {"fraction": 0.1}}
    for name in list(changed):
        rule, _, field = name.partition("_")
        if rule in rules:
            rules[rule][field] = changed.pop(name)
    options = {"splits": SplitRule(**rules["split"]), "budget": BudgetRule(**rules["budget"])}
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


def test_a_source_that_names_its_test_patients_alone_gets_val_from_the_others(tmp_path):
    write_images(tmp_path / "one", [f"x{i}" for i in range(60)])
    rows = "".join(f"x{i},{(0, 3)[i % 4 == 0]},{'test' if i < 20 else ''}\n" for i in range(60))
    (tmp_path / "one.csv").write_text("image,grade,split\n" + rows)
    layout = CsvFile(str(tmp_path / "one"), str(tmp_path / "one.csv"), columns=Columns("image", "grade", split="split"))
    found = built(Source("one", layout))
    assert images_of(found, "test") == {f"one/x{i}" for i in range(20)}
    assert len(images_of(found, "val")) == 6
    assert len(images_of(found, "train")) == 34


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
        internal = Source(clinic.name, replace(clinic.layout, columns=columns))
        found = built(kaggle, internal, split_val_fraction=0.34, split_test_fraction=0.34)
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
    assert built(replace(kaggle, drop_missing=True)).num_dropped == 2


def test_too_few_patients_for_a_split_are_an_error_that_says_so(tmp_path):
    write_images(tmp_path / "few", ["1_left", "2_left"])
    (tmp_path / "few.csv").write_text("image,level\n1_left,0\n2_left,2\n")
    source = Source("few", EyePacs(str(tmp_path / "few"), str(tmp_path / "few.csv"), allow_partial=True))
    with pytest.raises(InputError, match=r"few.csv: 2 patients with a grade are too few for val_fraction = 0.15"):
        built(source)
    assert images_of(built(source, split_val_fraction=0.0, split_test_fraction=0.0), "train") == {
        "few/1_left",
        "few/2_left",
    }


def test_sources_need_distinct_names_without_a_slash_and_a_train_label(kaggle, clinic):
    with pytest.raises(InputError, match="'kaggle' names two datasets"):
        built(kaggle, kaggle)
    with pytest.raises(InputError, match="slash"):
        built(replace(kaggle, name="a/b"))
    with pytest.raises(InputError, match="no train image has a grade"):
        built(clinic)
    with pytest.raises(InputError, match="is empty"):
        built()


def test_folds_test_every_patient_once_whatever_split_the_source_came_with(kaggle, tmp_path):
    given = {patient: "test" if patient < 20 else "train" for patient in range(NUM_PATIENTS)}
    source = with_splits(kaggle, tmp_path, given)
    tested = []
    for fold in range(4):
        found = built(source, split_kind="patient", split_folds=4, split_fold=fold)
        check_no_patient_is_shared(found)
        tested += sorted(images_of(found, "test"))
        assert len(images_of(found, "test")) == 50
        assert len(images_of(found, "val")) == 2 * round(0.15 * 75)
    assert len(tested) == len(set(tested)) == 2 * NUM_PATIENTS


def test_patients_can_be_dealt_anew_where_a_source_has_splits(kaggle, tmp_path):
    given = dict.fromkeys(range(NUM_PATIENTS), "train")
    found = built(with_splits(kaggle, tmp_path, given), split_kind="patient")
    assert (len(images_of(found, "test")), len(images_of(found, "val"))) == (40, 30)


@pytest.fixture
def both_parts(kaggle, tmp_path) -> Source:
    """40 more patients in a test part."""
    names = [f"{patient}_{eye}" for patient in range(1000, 1040) for eye in ("left", "right")]
    write_images(tmp_path / "tested", names)
    rows = [f"{name},{int(name.split('_')[0]) % 3},Private" for name in names]
    (tmp_path / "solution.csv").write_text("image,level,Usage\n" + "\n".join(rows) + "\n")
    layout = replace(kaggle.layout, test_images=str(tmp_path / "tested"), test_labels=str(tmp_path / "solution.csv"))
    return replace(kaggle, layout=layout)


def test_the_official_test_part_is_the_test_split_and_val_is_dealt_from_the_train_part(both_parts):
    found = built(both_parts)
    assert images_of(found, "test") == {f"kaggle/{i}_{eye}" for i in range(1000, 1040) for eye in ("left", "right")}
    assert len(images_of(found, "val")) == 30
    assert len(images_of(found, "train")) == 170
    assert found.leak.num_patients == found.leak.num_shared_images == 0
    assert (found.leak.num_test_images, found.leak.num_referable_test_images) == (80, 26)


def test_the_split_of_voets_pools_the_parts_states_its_leak_and_does_not_pass_unwaived(both_parts, monkeypatch):
    small = VoetsCounts(train_other=140, test_other=30, train_referable=50)
    monkeypatch.setattr(voets_split, "__kwdefaults__", {"counts": small})
    whole = built(both_parts, split_kind="voets").manifest
    with pytest.raises(InputError, match="shared_patients"):
        check_audit(audit_leaks(whole), (), table_uri="audit.parquet")
    check_audit(audit_leaks(whole), ("shared_patients",), table_uri="audit.parquet")
    found = read_source(both_parts)
    splits = splits_of(found, SplitRule("voets", val_fraction=0.2))
    manifest = found.rows.set_column(
        found.rows.column_names.index("split"), SCHEMA.field("split"), pa.array(splits, pa.string())
    )
    counts = {split: splits.count(split) for split in ("train", "val", "test", None)}
    num_referable = int((grades_of(manifest) >= 2).sum())
    assert counts["test"] == 30 + num_referable - 50
    assert counts["train"] + counts["val"] == 190
    assert counts[None] == 280 - num_referable - 170
    patients = patients_of(manifest)
    of = {split: set(patients[np.array(splits) == split]) for split in ("train", "val", "test")}
    assert counts["val"] > 0
    assert not of["val"] & (of["train"] | of["test"])
    leak = patient_leak(manifest)
    assert leak.num_patients == len(of["train"] & of["test"]) > 0
    tested = [row for row in manifest.to_pylist() if row["split"] == "test"]
    shared = [row for row in tested if f"kaggle/{row['patient_id']}" in of["train"]]
    assert (leak.num_test_images, leak.num_shared_images) == (len(tested), len(shared))
    assert leak.num_shared_referable_images == sum(row["grade"] >= 2 for row in shared)
    assert f"{len(shared)} of {len(tested)} test images" in str(leak)


def test_a_balanced_budget_says_how_it_was_drawn(kaggle):
    found = built(kaggle, budget_fraction=None, budget_count=40, budget_balanced=True, budget_seed=3)
    rows = np.isin(found.manifest["image_id"].to_pylist(), found.budget["image_id"].to_pylist())
    drawn = grades_of(found.manifest)[rows]
    assert ((drawn >= 2).sum(), (drawn < 2).sum()) == (20, 20)
    saved = json.loads(found.budget.schema.metadata[b"raydr.budget"])
    assert saved == {
        "fraction": None,
        "count": 40,
        "balanced": True,
        "seed": 3,
        "kind": "balanced",
        "num_wanted": 40,
        "digest": found.budget_digest,
    }


def test_exams_with_a_standard_of_their_own_are_kept_beside_the_manifest(kaggle, tmp_path):
    write_images(tmp_path / "exams", ["IM0001.000", "IM0001.001", "IM0002.000", "IM0002.001"])
    (tmp_path / "exams.csv").write_text("examid,rDR\nIM0001,0\nIM0002,1\n")
    layout = Messidor2(
        str(tmp_path / "exams"), "", "", str(tmp_path / "exams.csv"), label_source="exams", allow_partial=True
    )
    found = built(kaggle, Source("messidor2", layout, external=True))
    assert found.exams.num_rows == 2
    assert found.exams["dataset"].to_pylist() == ["messidor2", "messidor2"]
    assert set(found.exams["exam_id"].to_pylist()) <= set(found.manifest["exam_id"].to_pylist())


def test_photographs_in_a_folder_beside_this_one_are_named_as_a_manifest_allows(kaggle, clinic, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    theirs = replace(kaggle, layout=replace(kaggle.layout, images="../kaggle", labels="../labels.csv"))
    others = replace(clinic, layout=replace(clinic.layout, images="../clinic", labels="../clinic.csv"))
    storage.write_table("manifest.parquet", built(theirs, others).manifest)
    uris = read_manifest("manifest.parquet")["uri"].to_pylist()
    assert {str(Path(uri).parent) for uri in uris} == {f"{tmp_path}/kaggle", f"{tmp_path}/clinic"}
