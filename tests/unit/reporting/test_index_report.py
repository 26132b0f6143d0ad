"""The report of an index: its counts, its audit in every outcome, safe with any name."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from page_reader import Page

from raydr.reporting.index_report import IndexReport, audit_checks, render_index_report, totals, write_index_report

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
TEXTS = ("finding", "dataset_a", "image_id_a", "split_a", "dataset_b", "image_id_b", "split_b", "patient_id")
FINDINGS = pa.schema([*((name, pa.string()) for name in TEXTS), ("similarity", pa.float32())])
CHECKS = ("shared_patients", "identical_files", "near_identical_images")


def counts(dataset, split, *grades, ungraded=0):
    images = sum(grades) + ungraded
    by_grade = {f"grade_{grade}": amount for grade, amount in enumerate(grades)}
    return {"dataset": dataset, "split": split, "images": images, "patients": images // 2, **by_grade}


def finding(kind, number, *, similarity=None, name="a"):
    return {
        "finding": kind,
        "dataset_a": name,
        "image_id_a": f"{name}/{number}",
        "split_a": "train",
        "dataset_b": "b",
        "image_id_b": f"b/{number}",
        "split_b": "external",
        "similarity": similarity,
    }


def report(*findings, name="eyes", checks=CHECKS, waived=(), **more):
    return IndexReport(
        title=f"index {name}",
        created=datetime(2026, 3, 4, tzinfo=UTC),
        data=more.pop(
            "data", [counts(name, "train", 1000, 100, 80, 15, 5, ungraded=34), counts("x", "external", 6, 4, 0, 0, 0)]
        ),
        budget=[counts(name, "train", 18, 2, 2, 1, 1)],
        findings=pa.Table.from_pylist(list(findings), schema=FINDINGS),
        checks=checks,
        waived=waived,
        **more,
    )


def test_the_page_is_whole_and_loads_nothing():
    page = Page(render_index_report(report(sources={"eyes": "folder"}, settings="a = 1", digests={"draw": "9c1f"})))
    assert page.loads_nothing()
    assert page.has_every_target()
    assert "9c1f" in page.text


def test_counts_are_over_all_datasets_and_shares_over_the_graded():
    text = Page(render_index_report(report())).text
    assert "1 244 of 622 patients in 2 datasets" in text.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "100 of 1 210 graded images; 34 without a grade" in text.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "24 2 % of the training labels, from 12 patients" in text.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert totals([counts("a", "train", 1, 1, 1, 1, 1, ungraded=2)] * 2)["referable"] == 6


def test_external_sets_stand_below_what_is_trained_on():
    rows = [counts("abroad", "external", 6, 4, 2, 1, 1), counts("home", "train", 6, 4, 2, 1, 1)]
    text = Page(render_index_report(report(data=rows))).text
    assert text.index("home train") < text.index("abroad external")


@pytest.mark.parametrize(
    ("findings", "waived", "checks", "outcomes", "said"),
    [
        ([], (), CHECKS, ["clean"] * 3, "Clean No finding in 3 checks"),
        ([], (), CHECKS[:2], ["clean", "clean", "not made"], "Clean No finding in 2 checks"),
        ([], (), (), ["not made"] * 3, "Not made No finding in 0 checks"),
        ([finding(CHECKS[1], 1)], CHECKS[1:], CHECKS, ["clean", "waived", "clean"], "Waived 1 finding in 3 checks"),
        ([finding(CHECKS[0], 1)], (), CHECKS, ["stops", "clean", "clean"], "Leak 1 finding in 3 checks"),
    ],
)
def test_the_audit_says_what_became_of_it(findings, waived, checks, outcomes, said):
    audited = report(*findings, waived=waived, checks=checks)
    assert [check.outcome for check in audit_checks(audited)] == outcomes
    assert said in Page(render_index_report(audited)).text


def test_no_patient_is_in_two_splits_is_said_only_where_it_was_looked_at():
    words = "No patient is in two splits"
    assert words in Page(render_index_report(report())).text
    assert words not in Page(render_index_report(report(checks=()))).text
    assert words not in Page(render_index_report(report(finding(CHECKS[0], 1), waived=CHECKS))).text


def test_many_findings_are_cut_to_the_most_similar_and_the_rest_is_counted():
    many = [finding(CHECKS[2], number, similarity=0.8 + number / 1000) for number in range(100)]
    page = Page(render_index_report(report(*many, waived=CHECKS, findings_file="audit.parquet")))
    assert "… and 80 more; all are in audit.parquet." in page.text
    assert "a/99 " in page.text
    assert "a/79 " not in page.text


def test_a_finding_of_a_kind_that_is_new_to_the_report_is_not_lost():
    text = Page(render_index_report(report(finding("shared_camera", 1)))).text
    assert "Shared camera" in text
    assert "Leak" in text


def test_a_hostile_name_stays_text_wherever_it_stands():
    def build(name):
        return Page(
            render_index_report(
                report(
                    finding(CHECKS[1], 1, name=name) | {"patient_id": name},
                    finding(name, 1),
                    name=name,
                    notes=[name],
                    sources={name: name},
                    digests={name: name},
                    settings=name,
                    findings_file=name,
                )
            )
        )

    plain, hostile = build("eyes"), build(HOSTILE)
    assert hostile.tags == plain.tags
    assert not hostile.handlers
    assert "onerror=alert(1)" in hostile.text


def test_nothing_graded_and_nothing_to_train_on_gives_dashes_not_an_error():
    rows = [counts("abroad", "external", 0, 0, 0, 0, 0, ungraded=3)]
    text = Page(render_index_report(report(data=rows))).text
    assert "Referable – 0 of 0 graded images; 3 without a grade" in text


def test_the_file_is_written_whole_where_it_was_asked_for(tmp_path):
    write_index_report(str(tmp_path / "run" / "report.html"), report())
    assert (tmp_path / "run" / "report.html").read_text(encoding="utf-8") == render_index_report(report())
