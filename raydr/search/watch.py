"""What becomes of each trial: written down, and passed on to whoever follows the search."""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow.fs as pafs
from ray import tune
from ray.tune.experiment import Trial

from raydr import storage
from raydr.search.ranking import best_first
from raydr.search.records import TrialRecord, TrialRecords
from raydr.search.trial import ROW, folder_prefix
from raydr.training.gauges import Gauges


class Audience(Protocol):
    """Whoever follows a search."""

    def begin(self, records: Mapping[int, TrialRecord]) -> None:
        """Hear what earlier attempts at this search have done."""

    def epoch(self, number: int, sample: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Hear of one epoch of one trial."""

    def ended(self, record: TrialRecord) -> None:
        """Hear that a trial is done or has failed for good."""


class Watch(tune.Callback):
    """Writes down what becomes of each trial, and passes it on.

    Args:
        store: Where the records are written.
        records: Of earlier attempts at the search.
        audience: Told of every epoch and end.
        gauges: Show how many trials there are and the best one's AUC.
        states: Folder of the trials' states, to delete those of a trial that is done; None: they stay.
        keep: The epoch of a trial that counts.
    """

    def __init__(
        self,
        store: TrialRecords,
        records: Mapping[int, TrialRecord],
        audience: Audience,
        gauges: Gauges,
        *,
        states: str | None,
        keep: Literal["best", "last"],
    ) -> None:
        self.records = dict(records)
        self._store, self._audience, self._gauges, self._states, self._keep = store, audience, gauges, states, keep
        self._numbers: dict[str, int] = {}
        self._show()

    def value_of(self, number: int) -> float:
        """The best validation AUC of a trial; NaN where it reported none."""
        return self.records[number].best_auc if number in self.records else math.nan

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """Write down which settings a trial has before it is at work."""
        if (number := self._number(trial)) not in self.records:
            self.records[number] = TrialRecord(number, trial.config["trial"]["sample"], keep=self._keep)
            self._store.write(self.records[number])
            self._show()

    def on_trial_result(
        self,
        iteration: int,  # noqa: ARG002  # Tune's signature
        trials: list[Trial],  # noqa: ARG002
        trial: Trial,
        result: dict[str, Any],
        **info: Any,  # noqa: ARG002
    ) -> None:
        """Take in one epoch of one trial."""
        if ROW not in result:  # word that a trial is done
            return
        record, sample = self.records[self._number(trial)], dict(trial.config["trial"]["sample"])
        if result[ROW] in record.history:  # told again by a trial that was taken up again
            return
        record.take_in(result[ROW], sample)
        self._store.write(record)
        self._show()
        self._audience.epoch(record.number, sample, result[ROW])

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """A trial came to its end, or to the scheduler's."""
        self._end(self.records[self._number(trial)])

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """A trial has failed once too often."""
        record = self.records[self._number(trial)]
        # The driver's own file: what Tune reads back from the store may not have come there yet.
        own = trial.error_file
        lines = Path(own).read_text().strip().splitlines() if own and Path(own).exists() else []
        record.error = lines[-1] if lines else "it crashed"
        self._end(record)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune keeps a copy of the search that raydr never reads."""
        return {}

    def _number(self, trial: Trial) -> int:
        # PBT copies another trial's configuration, number included: what counts is the one it began with.
        return self._numbers.setdefault(trial.trial_id, trial.config["trial"]["number"])

    def _show(self) -> None:
        count = Counter(record.status for record in self.records.values())
        best = best_first(list(self.records.values()))
        figures = {status: float(count[status]) for status in ("running", "done", "failed")}
        self._gauges.show(figures | ({"best_auc": best[0].best_auc} if best else {}))

    def _end(self, record: TrialRecord) -> None:
        record.status = "done" if record.error is None else "failed"
        self._store.write(record)
        self._show()
        if self._states is not None and record.error is None:
            _drop_states(self._states, record.number)
        self._audience.ended(record)


def _drop_states(folder: str, number: int) -> None:
    """Delete the states of a trial that is done; students have hundreds of megabytes each."""
    system, path = storage.locate(folder)
    for info in system.get_file_info(pafs.FileSelector(path, allow_not_found=True)):
        if info.base_name.startswith(folder_prefix(number)):
            system.delete_dir(info.path)
