"""An MLflow run for each cell of a study, below the study's own."""

import json

from raydr import storage
from raydr.study.records import CellRecord
from raydr.workflows.job import Stage
from raydr.workflows.study_plan import Cell

_RUNS = "cell-runs.json"


class CellRuns:
    """The runs by cell, written down so that a study that was cut off goes on with them.

    Args:
        stage: The study's.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage, self._uri = stage, stage.path(_RUNS)
        self._known: dict[str, dict[str, str]] = (
            json.loads(storage.read_bytes(self._uri)) if storage.exists(self._uri) else {}
        )
        self._open: dict[str, str] = {}

    def begin(self, cell: Cell) -> str:
        """The id of the run of a cell that is about to be trained; "" where nothing is recorded."""
        name, tracker = str(cell.name), self._stage.tracker
        before = self._known.get(name, {})
        run_id = tracker.start_run(
            name,
            parent_id=self._stage.run_id,
            continue_id=before.get("run") if before.get("identity") == cell.identity else None,
            params=cell.settings.model_dump(mode="json"),
            tags={
                "raydr.verb": "study cell",
                "raydr.identity": cell.identity,
                "raydr.arm": cell.name.arm,
                "raydr.budget": cell.name.budget,
                "raydr.draw": str(cell.name.draw),
                "raydr.seed": str(cell.name.seed),
            },
        )
        self._open[name] = run_id
        self._known[name] = {"identity": cell.identity, "run": run_id, "parent": self._stage.run_id}
        storage.write_bytes(self._uri, json.dumps(self._known, indent=1).encode())
        return run_id

    def take_over(self, cell: Cell, record: CellRecord) -> None:
        """Make the run of a cell that stands this study's, with all that is known of the cell."""
        known = self._known.get(str(cell.name), {})
        is_this = known.get("identity") == cell.identity and known.get("parent") == self._stage.run_id
        if not (is_this and known.get("ended")):
            self.begin(cell)
            self.end(cell, record)

    def end(self, cell: Cell, record: CellRecord) -> None:
        """Record a trained cell's epochs and figures, and close its run."""
        name, tracker = str(cell.name), self._stage.tracker
        run_id = self._open.pop(name)
        if record.history:
            tracker.log_epochs(run_id, record.history, known_by="loss")
        validated = record.validation
        tracker.log_metrics(
            run_id,
            {
                "best_val_auc": validated.auc,
                "best_val_auc_se": validated.standard_error,
                "num_labels": float(record.num_labels),
                "wall_seconds": record.seconds,
                **record.choices,
            },
        )
        tracker.end_run(run_id)
        self._known[name]["ended"] = "yes"
        storage.write_bytes(self._uri, json.dumps(self._known, indent=1).encode())

    def tested(self, name: str, figures: dict[str, float]) -> None:
        """Record a cell's figures on the test sets."""
        if run_id := self._known.get(name, {}).get("run"):
            self._stage.tracker.log_metrics(run_id, figures)

    def fail(self, name: str) -> None:
        """Close the run of a cell that failed, if it had begun."""
        if name in self._open:
            self._stage.tracker.end_run(self._open.pop(name), "FAILED")

    def abandon(self) -> None:
        """Close the runs of a study that was cut off."""
        for run_id in self._open.values():
            self._stage.tracker.end_run(run_id, "KILLED")
