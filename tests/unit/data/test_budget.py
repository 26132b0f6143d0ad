"""A label budget is read only as it was drawn."""

from pathlib import Path

import pyarrow as pa
import pytest

from raydr import storage
from raydr.data.budget import BudgetRule, budget_table, digest_in, read_budget
from raydr.errors import InputError
from raydr.splits import digest_of

NAMES = ["data/1_left", "data/1_right", "data/7_left"]


@pytest.fixture
def budget(tmp_path: Path) -> str:
    uri = str(tmp_path / "budget.parquet")
    storage.write_table(uri, budget_table(NAMES, BudgetRule(count=3, fraction=None), num_wanted=3))
    return uri


def error_of(uri: str) -> str:
    with pytest.raises(InputError) as caught:
        read_budget(uri)
    message = str(caught.value)
    assert message.startswith(f"{uri}: ")
    assert "\n" not in message
    return message


def test_a_budget_comes_back_as_it_was_drawn(budget: str) -> None:
    assert read_budget(budget) == NAMES
    assert digest_in(storage.read_table(budget)) == digest_of(NAMES)


@pytest.mark.parametrize("names", [NAMES[:2], [*NAMES, "data/8_left"], ["data/2_left", *NAMES[1:]], [None, *NAMES]])
def test_a_budget_with_other_images_than_were_drawn_is_refused(budget: str, names: list[str | None]) -> None:
    metadata = storage.read_table(budget).schema.metadata
    storage.write_table(budget, pa.table({"image_id": names}).replace_schema_metadata(metadata))
    assert "is not what was drawn" in error_of(budget)


def test_a_budget_without_its_digest_is_refused(budget: str) -> None:
    for metadata in (None, {b"raydr.budget": b"{}"}, {b"raydr.budget": b"no json"}, {b"raydr.budget": b"[]"}):
        storage.write_table(budget, storage.read_table(budget).replace_schema_metadata(metadata))
        assert "has no digest of the draw" in error_of(budget)


def test_what_is_no_budget_is_named(tmp_path: Path, budget: str) -> None:
    storage.write_table(budget, pa.table({"image": NAMES}))
    assert "image_id: the column is missing; the file has image" in error_of(budget)
    Path(budget).write_bytes(b"no parquet")
    assert "cannot be read as a label budget" in error_of(budget)
    assert "cannot be read as a label budget" in error_of(str(tmp_path / "nothing.parquet"))
