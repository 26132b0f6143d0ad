"""What a cell leaves in its folder: its models, and a record of how it went."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from raydr import storage
from raydr.engine.package import DESCRIPTION
from raydr.metrics.delong import delong_interval
from raydr.metrics.standard_error import auc_standard_error

RECORD: Final = "result.json"
STATES: Final = "states"
"""The folder of what a cell under way goes on from."""


@dataclass(frozen=True, slots=True)
class AucFigures:
    """An AUC on a data set, with patients as the unit of its standard error and interval; NaN for one class only."""

    auc: float
    standard_error: float
    low: float
    high: float
    num_images: int
    num_patients: int
    num_positive: int


def auc_figures(
    truth: NDArray[np.bool_], probability: NDArray[np.float64], patients: NDArray[np.generic]
) -> AucFigures:
    """The figures of a model's probabilities; its interval is `raydr.metrics.delong.delong_interval`."""
    found = delong_interval(truth, probability, patients=patients)
    return AucFigures(
        auc=found.value,
        standard_error=auc_standard_error(truth, probability, patients),
        low=found.low,
        high=found.high,
        num_images=found.num_images,
        num_patients=found.num_patients,
        num_positive=found.num_positive,
    )


@dataclass(frozen=True, slots=True)
class CellRecord:
    """A cell that is trained."""

    name: str
    identity: str
    """Digest of all that shapes it."""
    models: tuple[str, ...]
    """Folders of its networks below its own; the first is what is tested, all of them teach."""
    num_labels: int
    seconds: float
    """Its training took, in all attempts, but for what a cut-off one did after its last state."""
    validation: AucFigures
    best_epoch: int | None = None
    """From 1; None where the last one is kept."""
    choices: Mapping[str, float] = field(default_factory=dict)
    """What the validation patients chose beside the epoch."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row of metrics an epoch, of the first network."""


def write_record(folder: str, record: CellRecord) -> None:
    """Write the record, which makes the cell one that is done."""
    content = json.dumps(dataclasses.asdict(record), indent=1)  # NaN is written as such: Python's own reader takes it
    storage.write_bytes(storage.join(folder, RECORD), content.encode())


def clear_cell(folder: str) -> None:
    """Delete all that is in a cell's folder but what a cell that was cut off goes on from."""
    for uri in storage.list_entries(folder):
        if uri.rstrip("/").rsplit("/", 1)[-1] != STATES:
            storage.delete_folder(uri)
            storage.delete_file(uri)


def read_record(folder: str, identity: str) -> CellRecord | None:
    """The record in a cell's folder; None where it is not there, of other settings, or a model of it is gone."""
    uri = storage.join(folder, RECORD)
    if not storage.exists(uri):
        return None
    try:
        content: dict[str, Any] = json.loads(storage.read_bytes(uri))
        found = CellRecord(
            **{**content, "models": tuple(content["models"]), "validation": AucFigures(**content["validation"])}
        )
    except (ValueError, KeyError, TypeError):
        return None
    is_whole = all(storage.exists(storage.join(folder, model, DESCRIPTION)) for model in found.models)
    return found if found.identity == identity and is_whole else None
