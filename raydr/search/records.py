"""What is known of every trial, as a file each: what a search goes on from, and what is added to it later."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from raydr import storage
from raydr.learning.validation import STANDARD_ERROR, VALIDATION_AUC


@dataclass(slots=True)
class TrialRecord:
    """One trial so far."""

    number: int
    sample: dict[str, Any]
    """With which it started or, where a scheduler changed it on the way, with which it was best."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row of metrics an epoch."""
    status: Literal["running", "done", "failed"] = "running"
    """`done`: trained to its end or stopped by the scheduler."""
    error: str | None = None
    keep: Literal["best", "last"] = "best"
    """The epoch that counts, as `distill.keep` has it."""
    current: dict[str, Any] | None = None
    """What it has now, where a scheduler changed its settings on the way."""

    @property
    def now(self) -> dict[str, Any]:
        """The settings that it has now."""
        return self.sample if self.current is None else self.current

    @property
    def epochs_done(self) -> int:
        """How far it is."""
        return int(self.history[-1]["epoch"]) + 1 if self.history else 0

    @property
    def best_row(self) -> dict[str, float] | None:
        """The epoch that counts: the one with the highest validation AUC, or the last; None where none was reported."""
        found = [row for row in self.history if math.isfinite(row[VALIDATION_AUC])]
        if self.keep == "last":
            return found[-1] if found else None
        return max(found, key=lambda row: row[VALIDATION_AUC], default=None)

    @property
    def best_auc(self) -> float:
        """Validation AUC of the epoch that counts; NaN where it reported none."""
        return math.nan if (row := self.best_row) is None else row[VALIDATION_AUC]

    @property
    def standard_error(self) -> float:
        """Of that AUC, patients being its unit; NaN where it reported none."""
        return math.nan if (row := self.best_row) is None else row.get(STANDARD_ERROR, math.nan)

    def take_in(self, row: dict[str, float], sample: dict[str, Any]) -> None:
        """Add an epoch, in place of an earlier attempt's at the same one."""
        self.history = [known for known in self.history if known["epoch"] != row["epoch"]]
        counts = self.keep == "last" or not row[VALIDATION_AUC] <= self.best_auc
        if math.isfinite(row[VALIDATION_AUC]) and counts:
            self.sample = sample
        self.current = sample
        self.history = sorted([*self.history, row], key=lambda known: known["epoch"])


@dataclass(frozen=True, slots=True)
class TrialRecords:
    """The records in one search's folder; a trial whose file is deleted is tried anew."""

    folder: str

    def read(self) -> dict[int, TrialRecord]:
        """All of them by number, in order."""
        if not storage.exists(self.folder):
            return {}
        uris = [uri for uri, _, _ in storage.list_files(self.folder) if uri.endswith(".json")]
        found = [TrialRecord(**json.loads(storage.read_bytes(uri))) for uri in uris]
        return {record.number: record for record in sorted(found, key=lambda record: record.number)}

    def write(self, record: TrialRecord) -> None:
        """Write one, whole or not at all."""
        uri = storage.join(self.folder, f"trial-{record.number:05d}.json")
        storage.write_bytes(uri, json.dumps(asdict(record)).encode())
