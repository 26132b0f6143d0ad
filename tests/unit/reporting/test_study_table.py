"""A study's tables: the same figures on page, terminal and in files, and a gap where there is none."""

import csv
import dataclasses
import io
import math

import pytest
from studies import ARMS, BUDGETS, SETS, study_cells

from raydr.metrics.label_efficiency import VALIDATION, StudyCell, label_efficiency
from raydr.reporting.study_table import arm_costs, cells_csv, signed, study_tables, study_terminal_table, table_csv


def lines(text):
    return list(csv.DictReader(io.StringIO(text)))


def read(text):
    """A number as a file has it; NaN where it is empty."""
    assert text != "nan"
    return float(text) if text else math.nan


@pytest.fixture(scope="module")
def cells():
    return study_cells()


def test_cells_come_back_from_their_file_to_the_last_digit(cells):
    undefined = dataclasses.replace(cells[0], arm='a, "quoted"\nname', auc=math.nan, low=math.nan)
    written = [undefined, *cells]
    kinds = {"str": str, "int": int, "float": read}
    fields = {field.name: kinds[getattr(field.type, "__name__", field.type)] for field in dataclasses.fields(StudyCell)}
    found = [StudyCell(**{name: kind(row[name]) for name, kind in fields.items()}) for row in lines(cells_csv(written))]
    assert found[1:] == cells
    assert found[0].arm == undefined.arm
    assert math.isnan(found[0].auc)
    assert found[0].high == undefined.high


def test_the_table_comes_back_from_its_file_to_the_last_digit(cells):
    rows = label_efficiency(cells, reference="imagenet")
    found = lines(table_csv(rows))
    assert len(found) == len(rows) == len(ARMS) * len(BUDGETS) * len(SETS)
    for line, row in zip(found, rows, strict=True):
        assert (line["dataset"], line["arm"], line["budget"]) == (row.dataset, row.arm, row.budget)
        assert (float(line["num_labels"]), float(line["standard_error"])) == (row.num_labels, row.standard_error)
        for name, value in dataclasses.asdict(row.auc).items():
            assert read(line[f"auc_{name}"]) == pytest.approx(value, rel=0, abs=0, nan_ok=True)
        if row.difference is None:
            assert {line[name] for name in line if name.startswith("difference")} == {""}
            continue
        for name, value in dataclasses.asdict(row.difference.spread).items():
            assert read(line[f"difference_{name}"]) == pytest.approx(value, rel=0, abs=0, nan_ok=True)
        assert int(line["difference_num_same_sign"]) == row.difference.num_same_sign
        assert float(line["difference_standard_error"]) == row.difference.standard_error


def test_a_file_without_rows_has_its_header():
    assert table_csv([]).startswith("dataset,arm,budget,num_labels")
    assert cells_csv([]).startswith("arm,budget,num_labels,draw,seed,dataset,auc")
    assert lines(table_csv([])) == lines(cells_csv([])) == []


def test_budgets_stand_from_few_labels_to_many_and_test_sets_before_the_validation_patients(cells):
    tables = study_tables(label_efficiency(list(reversed(cells))))
    assert [table.dataset for table in tables] == ["external192", "eyepacs192", VALIDATION]
    assert [budget.name for budget in tables[0].budgets] == list(BUDGETS)
    assert [budget.words for budget in tables[0].budgets][-2:] == ["473", "all 4\N{NARROW NO-BREAK SPACE}016"]


def test_what_was_not_trained_is_missing_and_never_a_zero(cells):
    kept = [cell for cell in cells if (cell.arm, cell.budget) != ("probe", "236")]
    table = study_tables(label_efficiency(kept), [*ARMS, "never"])[0]
    missing = next(budget for budget in table.budgets if budget.name == "236")
    assert table.at("probe", missing) is None
    assert [budget.name for budget, _ in table.of_arm("probe")] == ["47", "95", "473", "all"]
    assert table.of_arm("never") == []
    shown = study_terminal_table(label_efficiency(kept), [*ARMS, "never"]).splitlines()
    assert shown[-1].split() == ["never", *"-----"]
    assert "0.000" not in "".join(shown)


def test_an_undefined_area_is_no_figure(cells):
    blind = [dataclasses.replace(cell, auc=math.nan) if cell.arm == "probe" else cell for cell in cells]
    table = study_tables(label_efficiency(blind))[0]
    assert table.of_arm("probe") == []


def test_an_arm_that_lacks_a_draw_is_known(cells):
    kept = [cell for cell in cells if not (cell.arm == "paper" and cell.draw == 2 and cell.budget == "95")]
    table = study_tables(label_efficiency(kept))[0]
    lacking = [(arm, b.name) for arm in table.arms for b in table.budgets if table.lacks_draws(table.at(arm, b))]
    assert lacking == [("paper", "95")]


def test_the_terminal_has_mean_lowest_and_highest():
    aucs = [0.70, 0.75, 0.74]
    cells = [StudyCell("a", "95", 95, draw, 0, "clinic", auc, 0.02, 0, 1, 9, 9, 4, 1) for draw, auc in enumerate(aucs)]
    cells.append(StudyCell("a", "all", 4016, 0, 0, "clinic", 0.8, 0.02, 0, 1, 9, 9, 4, 1))
    assert study_terminal_table(label_efficiency(cells)).splitlines()[-1].split() == [
        "a",
        "0.730",
        "(0.700-0.750)",
        "0.800",
    ]


def test_a_model_costs_its_training_once_however_many_data_sets_it_is_scored_on(cells):
    one = arm_costs([cell for cell in cells if cell.dataset == VALIDATION])
    assert arm_costs(cells) == one
    assert one["probe"].num_models == 4 * 3 + 1
    assert one["probe"].seconds == pytest.approx(sum(3 * (40 + n / 3) for n in (47, 95, 236, 473)) + 40 + 4016 / 3)


def test_a_difference_has_a_sign():
    assert (signed(0.0312), signed(-0.0312)) == ("+0.031", "\N{MINUS SIGN}0.031")
