"""The label budget on disk: whose labels may be used, with how it was drawn and its digest beside it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import pyarrow as pa

from raydr import storage
from raydr.errors import InputError
from raydr.splits import digest_of

_KEY: Final = b"raydr.budget"


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """How many labels of the train patients may be used; exactly one of ``fraction`` and ``count`` is given."""

    fraction: float | None = 0.02
    """Of the graded train images."""
    count: int | None = None
    """Of images."""
    balanced: bool = False
    """As many referable images as others, else as they come."""
    seed: int = 0

    @property
    def kind(self) -> str:
        """`balanced` or `stratified`."""
        return "balanced" if self.balanced else "stratified"


def budget_table(image_ids: Sequence[str], rule: BudgetRule, *, num_wanted: int) -> pa.Table:
    """Column `image_id`; the schema's metadata say how it was drawn and hold its digest."""
    drawn = {**asdict(rule), "kind": rule.kind, "num_wanted": num_wanted, "digest": digest_of(image_ids)}
    schema = pa.schema([pa.field("image_id", pa.string(), nullable=False)], metadata={_KEY: json.dumps(drawn).encode()})
    return pa.table({"image_id": pa.array(image_ids, pa.string())}, schema=schema)


def read_budget(uri: str) -> list[str]:
    """The image ids of a label budget; InputError where it is missing, none, or not what was drawn."""
    try:
        table = storage.read_table(uri)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{uri}: cannot be read as a label budget (Parquet): {storage.cause_of(error)}") from None
    if "image_id" not in table.column_names:
        raise InputError(f"{uri}: image_id: the column is missing; the file has {', '.join(table.column_names)}")
    names: list[str] = table["image_id"].to_pylist()
    expected = digest_in(table)
    if expected is None:
        raise InputError(f"{uri}: has no digest of the draw; a label budget is drawn by `raydr index`")
    found = "" if None in names else digest_of(names)
    if found != expected:
        raise InputError(
            f"{uri}: image_id: is not what was drawn (its digest {found[:12]}, the draw's {expected[:12]}); "
            "run `raydr index` again"
        )
    return names


def digest_in(table: pa.Table) -> str | None:
    """The digest that was saved with a budget, None where there is none."""
    try:
        digest = json.loads((table.schema.metadata or {})[_KEY])["digest"]
    except (KeyError, ValueError, TypeError):
        return None
    return digest if isinstance(digest, str) else None
